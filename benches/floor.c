/*
 * The floor under `session-enter`: the system calls of one entry, in its order, with nothing around them.
 *
 *     floor pidns|none DIRECTORY      a whole process: enters, becomes nobody, runs /bin/true
 *     floor serve DIRECTORY           for each line of standard input, a child that does a part of it and says how
 *                                     many nanoseconds that took:
 *                 build               from the sources to being inside
 *                 join PID            setns into the mount and PID namespaces of that process
 *
 * No map, no user database, no plan, no checks beyond "did the call succeed", no messages. The benches compile it, and
 * give it the same ten binds as they give to session-enter and to bwrap: the same mounts in the same order with the
 * same attributes, from a copy of the same base namespace. What is between the two is what readable errors, a map and
 * proofs cost.
 *
 * The path strings are the bench's: DIRECTORY holds b0..b7, /usr and /etc are the host's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* glibc and the kernel headers both define this; only the number is taken from here. */
#ifndef MS_PRIVATE
#define MS_PRIVATE (1 << 18)
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#define BASE "/run/session-sandbox/base-%llu"

#define NOBODY 65534
#define STANDARD (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

static void must(long result, const char *what)
{
    if (result < 0) {
        perror(what);
        _exit(125);
    }
}

static int host_root, tree_root, base;

static int open_place(const char *path)
{
    struct open_how how = {
        .flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = syscall(SYS_openat2, host_root, path + 1, &how, sizeof how);
    must(fd, path);
    return fd;
}

static int take(const char *path, uint64_t attributes)
{
    int place = open_place(path);
    int flags = AT_EMPTY_PATH | AT_RECURSIVE;
    int tree = syscall(SYS_open_tree, place, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);
    must(tree, "open_tree");
    struct mount_attr request = {.attr_set = attributes, .propagation = MS_PRIVATE};
    must(syscall(SYS_mount_setattr, tree, "", flags, &request, sizeof request), "mount_setattr");
    close(place);
    return tree;
}

static int make(const char *kind, uint64_t attributes, const char *const *parameters)
{
    int context = syscall(SYS_fsopen, kind, FSOPEN_CLOEXEC);
    must(context, kind);
    for (; *parameters; parameters += 2) {
        int what = parameters[1] ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
        must(syscall(SYS_fsconfig, context, what, parameters[0], parameters[1], 0), parameters[0]);
    }
    must(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0), "fsconfig");
    int mount = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
    must(mount, "fsmount");
    close(context);
    return mount;
}

static void attach(int mount, const char *at)
{
    must(syscall(SYS_move_mount, mount, "", tree_root, at, MOVE_MOUNT_F_EMPTY_PATH), at);
}

static void attach_directory(int mount, const char *at)
{
    must(mkdirat(tree_root, at, 0755), at);
    attach(mount, at);
    close(mount);
}

static void seal(int mount)
{
    struct mount_attr request = {.attr_set = MOUNT_ATTR_RDONLY};
    must(syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &request, sizeof request), "seal");
}

#define TMPFS "source", "session-sandbox"

/* Where the namespace is copied from; opened before anything is measured, as session-enter does. */
static void open_base(void)
{
    /* Pinned under the number of the mount namespace that it is entered from. */
    struct stat own;
    char path[64];
    must(stat("/proc/self/ns/mnt", &own), "stat(/proc/self/ns/mnt)");
    snprintf(path, sizeof path, BASE, (unsigned long long)own.st_ino);
    base = open(path, O_RDONLY | O_CLOEXEC);
    must(base, path);
}

static void build(const char *directory)
{
    static const struct {
        const char *name;
        int major, minor;
    } devices[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
    static const char *const links[][2] = {
        {"/proc/self/fd", "dev/fd"},       {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"},
        {"/proc/self/fd/2", "dev/stderr"}, {"pts/ptmx", "dev/ptmx"},
    };
    static const char *const system_links[] = {"bin", "sbin", "lib", "lib64"};
    int binds[10];
    char path[256];

    /* Gather, in the host's view. */
    host_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    must(host_root, "/");
    binds[0] = take("/usr", STANDARD | MOUNT_ATTR_RDONLY);
    binds[1] = take("/etc", STANDARD | MOUNT_ATTR_RDONLY);
    for (int i = 0; i < 8; i++) {
        snprintf(path, sizeof path, "%s/b%d", directory, i);
        binds[i + 2] = take(path, STANDARD | (i < 4 ? MOUNT_ATTR_RDONLY : 0));
    }

    /* Isolate. */
    umask(0);
    must(setns(base, CLONE_NEWNS), "setns");
    must(unshare(CLONE_NEWNS), "unshare");

    /* Build. */
    int root = make("tmpfs", STANDARD, (const char *[]){TMPFS, "mode", "755", "size", "4194304", NULL});
    must(syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH), "root");
    tree_root = root;
    attach_directory(binds[0], "usr");
    attach_directory(binds[1], "etc");
    attach_directory(make("proc", STANDARD | MOUNT_ATTR_NOEXEC, (const char *[]){"source", "proc", NULL}), "proc");
    int dev = make("tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
                   (const char *[]){TMPFS, "mode", "755", "size", "65536", NULL});
    must(mkdirat(tree_root, "dev", 0755), "dev");
    attach(dev, "dev");
    attach_directory(make("tmpfs", STANDARD, (const char *[]){TMPFS, "mode", "1777", NULL}), "tmp");
    for (int i = 0; i < 8; i++) {
        snprintf(path, sizeof path, "b%d", i);
        attach_directory(binds[i + 2], path);
    }
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "usr/%s", system_links[i]);
        must(symlinkat(path, tree_root, system_links[i]), system_links[i]);
    }
    attach_directory(make("devpts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
                          (const char *[]){"source", "devpts", "newinstance", NULL, "gid", "5", "mode", "620",
                                           "ptmxmode", "666", NULL}),
                     "dev/pts");
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "dev/%s", devices[i].name);
        must(mknodat(tree_root, path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)), path);
    }
    for (int i = 0; i < 5; i++)
        must(symlinkat(links[i][0], tree_root, links[i][1]), links[i][1]);
    attach_directory(make("tmpfs", STANDARD, (const char *[]){TMPFS, "mode", "1777", NULL}), "dev/shm");

    /* Seal. */
    seal(root);
    seal(dev);
    close(dev);

    /* Switch the root. */
    must(fchdir(root), "fchdir");
    must(chroot("."), "chroot");
    must(chdir("/"), "chdir");
    close(root);
}

static void enter(const char *directory)
{
    char text[4096];

    open_base();
    int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    must(status, "/proc/self/status");
    build(directory);

    /* Become the user, and look. */
    gid_t group = NOBODY;
    must(syscall(SYS_setgroups, 1, &group), "setgroups");
    must(syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY), "setresgid");
    must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "ambient");
    for (int capability = 0; prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; capability++)
        ;
    must(syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY), "setresuid");
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    must(syscall(SYS_capset, &header, none), "capset");
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    umask(022);
    must(read(status, text, sizeof text), "read status");
}

static void become_true(void)
{
    char *const arguments[] = {"/bin/true", NULL};
    char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    must(syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */), "close_range");
    execve(arguments[0], arguments, environment);
    must(-1, "execve");
}

static int result_of(pid_t child)
{
    int result;
    must(waitpid(child, &result, 0), "waitpid");
    return WIFEXITED(result) ? WEXITSTATUS(result) : 128 + WTERMSIG(result);
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * UINT64_C(1000000000) + time.tv_nsec;
}

/* What is measured is done by a child, which has no second time; making it is not measured. */
static void do_once(const char *what, const char *directory)
{
    pid_t child = fork();
    must(child, "fork");
    if (child != 0) {
        must(-result_of(child), "child");
        return;
    }
    uint64_t began, ended;
    if (strncmp(what, "join ", 5) == 0) {
        int process = syscall(SYS_pidfd_open, atoi(what + 5), 0);
        must(process, "pidfd_open");
        began = now();
        must(setns(process, CLONE_NEWNS | CLONE_NEWPID), "setns");
        ended = now();
    } else {
        open_base();
        began = now();
        build(directory);
        ended = now();
    }
    dprintf(1, "%llu\n", (unsigned long long)(ended - began));
    _exit(0);
}

int main(int count, char **words)
{
    if (count != 3)
        return 125;
    if (strcmp(words[1], "serve") == 0) {
        char line[64];
        while (fgets(line, sizeof line, stdin))
            do_once(line, words[2]);
        return 0;
    }
    if (strcmp(words[1], "none") == 0) {
        enter(words[2]);
        become_true();
    }
    pid_t init = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    must(init, "clone");
    if (init != 0)
        return result_of(init);
    must(prctl(PR_SET_PDEATHSIG, SIGKILL), "pdeathsig");
    enter(words[2]);
    must(prctl(PR_SET_PDEATHSIG, SIGKILL), "pdeathsig");
    pid_t program = vfork();
    must(program, "vfork");
    if (program == 0)
        become_true();
    _exit(result_of(program));
}
