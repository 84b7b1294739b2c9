//! The edge to C: the six entry points, and the few functions of libpam that are called.
#![allow(unsafe_code, reason = "PAM is C; everything that is unsafe about it is in this file")]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;

use crate::options::Options;
use crate::session::{self, State};

/// The result of an entry point (`security/_pam_types.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Code {
    /// PAM_SUCCESS.
    Success = 0,
    /// PAM_SERVICE_ERR.
    ServiceError = 3,
    /// PAM_SYSTEM_ERR.
    SystemError = 4,
    /// PAM_SESSION_ERR.
    SessionError = 14,
    /// PAM_IGNORE.
    Ignore = 25,
    /// PAM_ABORT.
    Abort = 26,
}

/// PAM_SILENT.
const SILENT: c_int = 0x8000;
/// PAM_ERROR_MSG.
const ERROR_MESSAGE: c_int = 3;
/// PAM_TEXT_INFO.
const TEXT_INFO: c_int = 4;
/// The name under which the module keeps its state in a PAM handle begins with this, and goes on with the line's words: two
/// lines of one stack open two sessions, and each closes its own.
const DATA: &str = "session-sandbox";
/// As long a line as is given to the log.
const LINE_MAX: usize = 2000;

/// Items of a PAM handle that are texts.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum Item {
    /// PAM_SERVICE.
    Service = 1,
    /// PAM_TTY.
    Tty = 3,
    /// PAM_RHOST.
    RemoteHost = 4,
    /// PAM_RUSER.
    RemoteUser = 8,
}

/// Priorities of syslog(3), facility LOG_AUTHPRIV (10) included.
#[derive(Clone, Copy, Debug)]
#[repr(i32)]
pub(crate) enum Priority {
    /// LOG_ALERT.
    Alert = (10 << 3) | 1,
    /// LOG_ERR.
    Error = (10 << 3) | 3,
    /// LOG_DEBUG.
    Debug = (10 << 3) | 7,
}

/// `pam_handle_t`.
#[repr(C)]
pub(crate) struct RawHandle {
    _private: [u8; 0],
}

/// The beginning of `struct passwd`, as far as it is read.
#[repr(C)]
struct Passwd {
    name: *const c_char,
    password: *const c_char,
    uid: u32,
}

type Cleanup = extern "C" fn(*mut RawHandle, *mut c_void, c_int);

unsafe extern "C" {
    fn pam_get_item(pam: *const RawHandle, item: c_int, value: *mut *const c_void) -> c_int;
    fn pam_get_user(pam: *mut RawHandle, user: *mut *const c_char, prompt: *const c_char) -> c_int;
    fn pam_get_data(pam: *const RawHandle, name: *const c_char, data: *mut *const c_void) -> c_int;
    fn pam_set_data(pam: *mut RawHandle, name: *const c_char, data: *mut c_void, cleanup: Cleanup) -> c_int;
    fn pam_putenv(pam: *mut RawHandle, variable: *const c_char) -> c_int;
    fn pam_getenvlist(pam: *mut RawHandle) -> *mut *mut c_char;
    fn free(memory: *mut c_void);
    fn pam_syslog(pam: *const RawHandle, priority: c_int, format: *const c_char, ...);
    fn pam_prompt(
        pam: *mut RawHandle,
        style: c_int,
        answer: *mut *mut c_char,
        format: *const c_char,
        ...
    ) -> c_int;
    fn pam_modutil_getpwnam(pam: *mut RawHandle, user: *const c_char) -> *const Passwd;
    fn pam_modutil_user_in_group_nam_nam(
        pam: *mut RawHandle,
        user: *const c_char,
        group: *const c_char,
    ) -> c_int;
}

/// A PAM handle, for the time of one call.
#[derive(Debug)]
pub(crate) struct Pam<'call> {
    raw: *mut RawHandle,
    /// The name of the state.
    data: CString,
    _call: PhantomData<&'call RawHandle>,
}

impl Pam<'_> {
    /// PAM_USER.
    pub(crate) fn user(&self) -> Result<String, String> {
        let mut user = std::ptr::null();
        // SAFETY: the handle is PAM's own for this call; the pointer that it writes is read before the next call of it.
        let code = unsafe { pam_get_user(self.raw, &raw mut user, std::ptr::null()) };
        // SAFETY: on success PAM gives a C string, which lives until the item is set again.
        let name = unsafe { text(user) };
        match (code, name) {
            (0, Some(name)) if !name.is_empty() => Ok(name),
            (0, _) => Err("PAM has no name for the user, or one that is not UTF-8 text".to_owned()),
            _ => Err(format!("pam_get_user() gave {code}")),
        }
    }

    /// An item, if it is set and text.
    pub(crate) fn item(&self, item: Item) -> Option<String> {
        let mut value = std::ptr::null();
        // SAFETY: as above; these items are C strings.
        let code = unsafe { pam_get_item(self.raw, item as c_int, &raw mut value) };
        // SAFETY: as above.
        let value = unsafe { text(value.cast()) };
        value.filter(|value| code == 0 && !value.is_empty())
    }

    /// What the module keeps in the handle, made at the first use.
    pub(crate) fn state(&self) -> Result<&State, String> {
        let mut data: *const c_void = std::ptr::null();
        // SAFETY: the handle is PAM's; what is written is a pointer that this module has given to it.
        let mut code = unsafe { pam_get_data(self.raw, self.data.as_ptr(), &raw mut data) };
        if code != 0 || data.is_null() {
            let made: *mut State = Box::into_raw(Box::new(RefCell::new(None)));
            // SAFETY: PAM keeps the pointer until it calls `forget_state` with it, once.
            code = unsafe { pam_set_data(self.raw, self.data.as_ptr(), made.cast(), forget_state) };
            if code != 0 {
                // SAFETY: PAM did not take it.
                drop(unsafe { Box::from_raw(made) });
                return Err(format!("pam_set_data() gave {code}"));
            }
            data = made.cast_const().cast();
        }
        // SAFETY: the pointer is of a State that `forget_state` frees when the handle ends, after every call.
        Ok(unsafe { &*data.cast::<State>() })
    }

    /// Sets a variable of the session, `NAME=value`.
    pub(crate) fn put_env(&self, variable: &str) -> Result<(), String> {
        let name = variable.split('=').next().unwrap_or_default();
        let variable = CString::new(variable).map_err(|_| format!("the variable {name} holds a NUL"))?;
        // SAFETY: PAM copies the text.
        match unsafe { pam_putenv(self.raw, variable.as_ptr()) } {
            0 => Ok(()),
            code => Err(format!("pam_putenv({name}) gave {code}")),
        }
    }

    /// The variables of the session so far, `NAME=value`; those that are not text are left out.
    pub(crate) fn environment(&self) -> Vec<String> {
        // SAFETY: the handle is PAM's own for this call. What comes back is ours: a list of C strings up to a null
        // pointer, each and the list itself from malloc.
        let list = unsafe { pam_getenvlist(self.raw) };
        let mut variables = Vec::new();
        if list.is_null() {
            return variables;
        }
        for at in 0.. {
            // SAFETY: as above; the end has not been reached.
            let variable = unsafe { list.add(at) };
            // SAFETY: as above.
            let variable = unsafe { *variable };
            if variable.is_null() {
                break;
            }
            // SAFETY: a C string.
            variables.extend(unsafe { text(variable) });
            // SAFETY: from malloc, and not used any more.
            unsafe { free(variable.cast()) };
        }
        // SAFETY: as above.
        unsafe { free(list.cast()) };
        variables
    }

    /// Takes a variable away again: a name without `=`.
    pub(crate) fn unset_env(&self, variable: &str) {
        let name = variable.split('=').next().unwrap_or_default();
        let _ = self.put_env(name);
    }

    /// Writes one line to the system log.
    pub(crate) fn log(&self, priority: Priority, line: &str) {
        let line = one_line(line);
        // SAFETY: the format takes one C string, and that is what it gets.
        unsafe { pam_syslog(self.raw, priority as c_int, c"%s".as_ptr(), line.as_ptr()) };
    }

    /// Shows one line to whoever logs in.
    pub(crate) fn show(&self, line: &str) {
        self.prompt(TEXT_INFO, line);
    }

    /// Says that something failed to whoever logs in.
    pub(crate) fn tell(&self, line: &str) {
        self.prompt(ERROR_MESSAGE, line);
    }

    fn prompt(&self, style: c_int, line: &str) {
        let line = one_line(line);
        let nothing = std::ptr::null_mut();
        // SAFETY: as above; without a pointer for it no answer is kept.
        unsafe { pam_prompt(self.raw, style, nothing, c"%s".as_ptr(), line.as_ptr()) };
    }

    /// Is this a name of uid 0?
    pub(crate) fn is_root(&self, user: &str) -> bool {
        let Ok(user) = CString::new(user) else { return false };
        // SAFETY: PAM keeps what it returns in the handle, for longer than it is looked at here.
        let account = unsafe { pam_modutil_getpwnam(self.raw, user.as_ptr()) };
        // SAFETY: null, or a passwd entry.
        unsafe { account.as_ref() }.is_some_and(|account| account.uid == 0)
    }

    /// Is the user in that group?
    pub(crate) fn is_member(&self, user: &str, group: &str) -> bool {
        let (Ok(user), Ok(group)) = (CString::new(user), CString::new(group)) else { return false };
        // SAFETY: two C strings, which are not kept.
        unsafe { pam_modutil_user_in_group_nam_nam(self.raw, user.as_ptr(), group.as_ptr()) == 1 }
    }
}

/// A C string as text; `None` for a null pointer and for what is not UTF-8.
///
/// # Safety
/// `pointer` is null or points to a C string.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_str().ok().map(str::to_owned)
}

/// Control characters would let a name write lines of its own into the log.
fn one_line(text: &str) -> CString {
    let line: String =
        text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let end = line.char_indices().map(|(at, _)| at).find(|at| *at >= LINE_MAX).unwrap_or(line.len());
    CString::new(line.get(..end).unwrap_or_default()).unwrap_or_default()
}

/// Called by PAM when the handle ends, or in a child of the host's that ends its copy: closes descriptors, no more.
extern "C" fn forget_state(_: *mut RawHandle, data: *mut c_void, _: c_int) {
    if data.is_null() {
        return;
    }
    let _ = std::panic::catch_unwind(|| {
        // SAFETY: the pointer that `state` made, given back once.
        drop(unsafe { Box::from_raw(data.cast::<State>()) });
    });
}

/// Calls `work` so that no panic leaves it. Null pointers end it at once.
///
/// # Safety
/// `raw` is null or a PAM handle; `arguments` is null or points to `count` C strings.
unsafe fn guarded(
    raw: *mut RawHandle,
    count: c_int,
    arguments: *const *const c_char,
    work: impl FnOnce(&Pam<'_>, &Options) -> Code,
) -> Code {
    if raw.is_null() {
        return Code::Abort;
    }
    // Without a hook a panic writes to the standard error of a process that is not ours.
    std::panic::set_hook(Box::new(|_| ()));
    let mut pam = Pam { raw, data: CString::default(), _call: PhantomData };
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let count = usize::try_from(count).unwrap_or(0);
        let arguments = if arguments.is_null() || count == 0 {
            &[]
        } else {
            // SAFETY: the caller's promise.
            unsafe { std::slice::from_raw_parts(arguments, count) }
        };
        // SAFETY: the caller's promise.
        let texts: Vec<String> = arguments.iter().filter_map(|argument| unsafe { text(*argument) }).collect();
        // They come from C strings, and hold no NUL.
        pam.data = CString::new(format!("{DATA} {}", texts.join(" "))).unwrap_or_default();
        work(&pam, &Options::of(texts.iter().map(String::as_str)))
    }));
    done.unwrap_or_else(|payload| {
        let what = payload.downcast_ref::<&str>().copied().map(str::to_owned);
        let what = what.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        let _ = std::panic::catch_unwind(AssertUnwindSafe(|| {
            pam.log(Priority::Alert, &format!("a fault in this module, please report it: panic: {what}"));
        }));
        // Dropping what was thrown can throw again.
        if let Err(again) = std::panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(again);
        }
        Code::Abort
    })
}

/// Opens a session.
///
/// # Safety
/// As libpam calls it.
#[unsafe(no_mangle)]
unsafe extern "C" fn pam_sm_open_session(
    pam: *mut RawHandle,
    flags: c_int,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let silent = flags & SILENT != 0;
    // SAFETY: libpam's own arguments.
    (unsafe { guarded(pam, count, arguments, |pam, options| session::open(pam, options, silent)) }) as c_int
}

/// Closes it.
///
/// # Safety
/// As libpam calls it.
#[unsafe(no_mangle)]
unsafe extern "C" fn pam_sm_close_session(
    pam: *mut RawHandle,
    _flags: c_int,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    // SAFETY: libpam's own arguments.
    (unsafe { guarded(pam, count, arguments, session::close) }) as c_int
}

/// The other four decide nothing: the module is for sessions, and does no harm where it is listed by mistake.
macro_rules! ignored {
    ($($name:ident)*) => {$(
        /// Has no say.
        #[unsafe(no_mangle)]
        extern "C" fn $name(_: *mut RawHandle, _: c_int, _: c_int, _: *const *const c_char) -> c_int {
            Code::Ignore as c_int
        }
    )*};
}

ignored! { pam_sm_authenticate pam_sm_setcred pam_sm_acct_mgmt pam_sm_chauthtok }
