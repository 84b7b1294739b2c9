//! A seccomp filter that refuses the two ioctls by which a program types in another's place, and nothing else.

use rustix::io::Errno;

use super::{Error, Result};

/// The calling conventions of this processor: `AUDIT_ARCH_*` of `linux/audit.h`, what to leave out of the number of a
/// call, and the numbers of `ioctl`. A program of 32 bits has another number for it, and x32 has one of 64 with a mark.
const CONVENTIONS: &[(u32, u32, &[u32])] = if cfg!(target_arch = "x86_64") {
    &[(0xc000_003e, !0x4000_0000, &[16, 514]), (0x4000_0003, !0, &[54])]
} else if cfg!(target_arch = "aarch64") {
    &[(0xc000_00b7, !0, &[29]), (0x4000_0028, !0, &[54])]
} else if cfg!(target_arch = "riscv64") {
    &[(0xc000_00f3, !0, &[29])]
} else if cfg!(target_arch = "loongarch64") {
    &[(0xc000_0102, !0, &[29])]
} else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
    &[(0xc000_0015, !0, &[54])]
} else if cfg!(target_arch = "s390x") {
    &[(0x8000_0016, !0, &[54]), (0x0000_0016, !0, &[54])]
} else if cfg!(target_arch = "arm") {
    &[(0x4000_0028, !0, &[54])]
} else if cfg!(target_arch = "x86") {
    &[(0x4000_0003, !0, &[54])]
} else {
    &[]
};
/// `struct seccomp_data`: where the number of the call, the convention, and the lower half of the second argument are.
/// The kernel takes an ioctl's request as 32 bits, whatever stands in the upper half.
const NUMBER: u32 = 0;
const CONVENTION: u32 = 4;
const REQUEST: u32 = if cfg!(target_endian = "big") { 28 } else { 24 };
/// The filter must not slow down what it does not concern: without this flag older kernels switch on defences against
/// attacks by code that a browser runs.
const SPEC_ALLOW: libc::c_ulong = 1 << 2;

/// Installs the filter for this process and everything that comes of it. Needs CAP_SYS_ADMIN or no_new_privs.
pub fn refuse_terminal_injection() -> Result<()> {
    let failed = |errno: Errno| Error::new("seccomp(SECCOMP_SET_MODE_FILTER)", errno);
    let mut filter = program();
    if filter.is_empty() {
        return Err(failed(Errno::OPNOTSUPP));
    }
    let length = u16::try_from(filter.len()).map_err(|_| failed(Errno::TOOBIG))?;
    let program = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    // SAFETY: the program says how long the filter is; both live through the call, which copies them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            SPEC_ALLOW,
            std::ptr::from_ref(&program),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(Error::new("seccomp(SECCOMP_SET_MODE_FILTER)", std::io::Error::last_os_error())),
    }
}

/// The filter; empty for a processor whose numbers are not known here.
///
/// For each convention: is it this one? is the call an ioctl? is the request one of the two? A call of a convention that
/// this processor does not have is refused.
fn program() -> Vec<libc::sock_filter> {
    let refused = [libc::TIOCSTI, libc::TIOCLINUX];
    let mut program = Vec::new();
    for (convention, mask, numbers) in CONVENTIONS {
        let calls = steps(numbers.len());
        let block = calls + steps(refused.len()) + 6;
        program.push(load(CONVENTION));
        program.push(unless_equal(*convention, block));
        program.push(load(NUMBER));
        program.push(and(*mask));
        for (at, number) in numbers.iter().enumerate() {
            // To the request; behind the last one, that it is no ioctl at all.
            program.push(if_equal(*number, calls - steps(at)));
        }
        program.push(allow());
        program.push(load(REQUEST));
        for (at, request) in refused.iter().enumerate() {
            program.push(if_equal(u32::try_from(*request).unwrap_or(u32::MAX), steps(refused.len() - at)));
        }
        program.push(allow());
        program.push(refuse(libc::EPERM));
    }
    if !program.is_empty() {
        program.push(refuse(libc::ENOSYS));
    }
    program
}

fn steps(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

fn load(offset: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn and(mask: u32) -> libc::sock_filter {
    statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask)
}

fn allow() -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW)
}

fn refuse(errno: i32) -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | u32::try_from(errno).unwrap_or(1))
}

fn if_equal(value: u32, skip: u8) -> libc::sock_filter {
    libc::sock_filter { jt: skip, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value) }
}

fn unless_equal(value: u32, skip: u8) -> libc::sock_filter {
    libc::sock_filter { jf: skip, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value) }
}

fn statement(code: u32, value: u32) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).unwrap_or(0), jt: 0, jf: 0, k: value }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter says to a call, as the kernel runs it.
    fn run(convention: u32, number: u32, request: u64) -> u32 {
        let program = program();
        let (mut at, mut accumulator) = (0, 0);
        let halves = [u32::try_from(request & 0xffff_ffff).unwrap(), u32::try_from(request >> 32).unwrap()];
        loop {
            let step = program[at];
            at += 1;
            match u32::from(step.code) {
                code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    accumulator = match step.k {
                        NUMBER => number,
                        CONVENTION => convention,
                        24 => halves[usize::from(cfg!(target_endian = "big"))],
                        28 => halves[usize::from(cfg!(target_endian = "little"))],
                        other => unreachable!("an offset of {other}"),
                    }
                }
                code if code == libc::BPF_ALU | libc::BPF_AND | libc::BPF_K => accumulator &= step.k,
                code if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => {
                    at += usize::from(if accumulator == step.k { step.jt } else { step.jf });
                }
                code if code == libc::BPF_RET | libc::BPF_K => return step.k,
                other => unreachable!("a code of {other}"),
            }
        }
    }

    #[test]
    fn both_requests_are_refused_by_every_way_of_calling_and_all_else_is_allowed() {
        const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
        let eperm = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EPERM).unwrap();
        for (convention, mask, numbers) in CONVENTIONS {
            for number in *numbers {
                for marked in [*number, number | !mask] {
                    for request in [0x5412, 0x541c, 0xffff_ffff_0000_5412, 0x1_0000_541c] {
                        assert_eq!(run(*convention, marked, request), eperm, "{marked} {request:x}");
                    }
                    for request in [0, 0x5401, 0x5413, 0x541b, 0x541d, 0x5412_0000_0000] {
                        assert_eq!(run(*convention, marked, request), ALLOW, "{marked} {request:x}");
                    }
                }
            }
            for number in (0..600).filter(|number| !numbers.contains(number)) {
                assert_eq!(run(*convention, number, 0x5412), ALLOW, "call {number}");
            }
        }
        assert!(CONVENTIONS.is_empty() || run(0x1234, 16, 0) != ALLOW);
    }
}
