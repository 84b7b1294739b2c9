/* A PAM application for the tests: it opens and closes sessions of a service, and says what that did to it.
 *
 *   host time SERVICE USER ROUNDS            milliseconds of each open and close
 *   host failing SERVICE USER                the state of the process before and after an open that fails, and its result
 *   host calls SERVICE USER CALL...          each call with its result: open, close, setcred, auth, account, fork-close,
 *                                            start, end, where (home or away), list (the root), variables, wait,
 *                                            child (runs $CHILD as the user)
 *   host threads SERVICE USER ROUNDS         opens and closes from one of nine threads, eight of which are busy
 *
 * libpam's development package need not be installed: what is used of it is declared here.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <pwd.h>

typedef struct pam_handle pam_handle_t;
struct pam_message { int style; const char *text; };
struct pam_response { char *text; int code; };
struct pam_conv {
    int (*converse)(int, const struct pam_message **, struct pam_response **, void *);
    void *data;
};
int pam_start(const char *, const char *, const struct pam_conv *, pam_handle_t **);
int pam_end(pam_handle_t *, int);
int pam_open_session(pam_handle_t *, int);
int pam_close_session(pam_handle_t *, int);
int pam_setcred(pam_handle_t *, int);
int pam_authenticate(pam_handle_t *, int);
int pam_acct_mgmt(pam_handle_t *, int);
char **pam_getenvlist(pam_handle_t *);

extern char **environ;

static int converse(int count, const struct pam_message **messages, struct pam_response **answers, void *data)
{
    (void)data;
    for (int i = 0; i < count; i++)
        printf("told: %s\n", messages[i]->text);
    *answers = calloc((size_t)count, sizeof **answers);
    return 0;
}

static const struct pam_conv conversation = { converse, NULL };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static unsigned long number(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? (unsigned long)status.st_ino : 0;
}

/* Of this thread. Where the view has no /proc that knows this process, 0. */
static unsigned long namespace(void)
{
    return number("/proc/thread-self/ns/mnt");
}

/* Everything about this process that its code could notice, one fact a line. */
static void print_state(const char *when, pam_handle_t *pam)
{
    char path[64], target[512];
    printf("[%s]\n", when);
    for (const char **name = (const char *[]){ "mnt", "pid", "pid_for_children", "net", "user", "ipc", "uts", NULL }; *name; name++) {
        snprintf(path, sizeof path, "/proc/thread-self/ns/%s", *name);
        printf("ns %s %lu\n", *name, number(path));
    }
    for (const char **name = (const char *[]){ "root", "cwd", NULL }; *name; name++) {
        snprintf(path, sizeof path, "/proc/thread-self/%s", *name);
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length < 0 ? 0 : length] = 0;
        printf("%s %s %lu\n", *name, target, number(path));
    }
    mode_t mask = umask(0);
    umask(mask);
    printf("umask %o\n", (unsigned)mask);
    FILE *status = fopen("/proc/thread-self/status", "r");
    char line[512];
    while (status && fgets(line, sizeof line, status))
        if (!strncmp(line, "Uid", 3) || !strncmp(line, "Gid", 3) || !strncmp(line, "Groups", 6) || (!strncmp(line, "Sig", 3) && strncmp(line, "SigQ", 4))
            || !strncmp(line, "Shd", 3) || !strncmp(line, "Cap", 3) || !strncmp(line, "NoNew", 5) || !strncmp(line, "Seccomp", 7)
            || !strncmp(line, "Threads", 7))
            fputs(line, stdout);
    if (status)
        fclose(status);
    for (int fd = 0; fd < 256; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length > 0) {
            target[length] = 0;
            printf("fd %d %s %d\n", fd, target, fcntl(fd, F_GETFD));
        }
    }
    for (char **variable = environ; *variable; variable++)
        printf("env %s\n", *variable);
    char **list = pam_getenvlist(pam);
    for (char **variable = list; variable && *variable; variable++)
        printf("pam env %s\n", *variable);
    int child = waitpid(-1, NULL, WNOHANG | __WALL);
    printf("children %s\n", child == -1 && errno == ECHILD ? "none" : "some");
}

static int failing(const char *service, const char *user)
{
    pam_handle_t *pam;
    if (pam_start(service, user, &conversation, &pam))
        return 2;
    /* What libpam and the modules keep open for themselves (a log socket) is opened by a first attempt. */
    pam_open_session(pam, 0);
    print_state("before", pam);
    int result = pam_open_session(pam, 0);
    print_state("after", pam);
    printf("[result]\n%d\n", result);
    pam_end(pam, 0);
    return 0;
}

static int calls(const char *service, const char *user, char **call)
{
    pam_handle_t *pam = NULL;
    if (pam_start(service, user, &conversation, &pam))
        return 2;
    unsigned long home = namespace();
    /* As sshd does it: once the session is open, /etc/passwd is the view's. */
    struct passwd account = *getpwnam(user);
    for (; *call; call++) {
        int result = 0;
        if (!strcmp(*call, "open"))
            result = pam_open_session(pam, 0);
        else if (!strcmp(*call, "silent"))
            result = pam_open_session(pam, 0x8000);
        else if (!strcmp(*call, "close"))
            result = pam_close_session(pam, 0);
        else if (!strcmp(*call, "setcred"))
            result = pam_setcred(pam, 2);
        else if (!strcmp(*call, "auth"))
            result = pam_authenticate(pam, 0);
        else if (!strcmp(*call, "account"))
            result = pam_acct_mgmt(pam, 0);
        else if (!strcmp(*call, "end"))
            result = pam_end(pam, 0), pam = NULL;
        else if (!strcmp(*call, "start"))
            result = pam_start(service, user, &conversation, &pam);
        else if (!strcmp(*call, "fork-close")) {
            pid_t child = fork();
            if (child == 0)
                _exit(pam_close_session(pam, 0) | pam_end(pam, 0x40000000));
            int status = 0;
            waitpid(child, &status, 0);
            result = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
        } else if (!strcmp(*call, "list")) {
            DIR *directory = opendir("/");
            printf("inside:");
            for (struct dirent *entry; directory && (entry = readdir(directory));)
                printf(" %s", entry->d_name);
            printf("\n");
            closedir(directory);
        } else if (!strcmp(*call, "child")) {
            fflush(stdout);
            pid_t child = fork();
            if (child == 0) {
                if (setgid(account.pw_gid) || setuid(account.pw_uid))
                    _exit(99);
                execl("/bin/sh", "sh", "-c", getenv("CHILD"), NULL);
                _exit(98);
            }
            int status = 0;
            waitpid(child, &status, 0);
            result = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
        } else if (!strcmp(*call, "variables")) {
            char **list = pam_getenvlist(pam);
            for (char **variable = list; variable && *variable; variable++)
                printf("variable: %s\n", *variable);
            continue;
        } else if (!strcmp(*call, "where")) {
            unsigned long here = namespace();
            printf("where: %s\n", here == home ? "home" : "away");
            continue;
        } else if (!strcmp(*call, "wait")) {
            printf("waiting\n");
            fflush(stdout);
            pause();
        } else
            return 3;
        printf("%s: %d\n", *call, result);
        fflush(stdout);
    }
    if (pam)
        pam_end(pam, 0);
    return 0;
}

static int timed(const char *service, const char *user, int rounds)
{
    pam_handle_t *pam;
    if (pam_start(service, user, &conversation, &pam))
        return 2;
    for (int round = 0; round < rounds; round++) {
        double start = now();
        if (pam_open_session(pam, 0))
            return 1;
        double middle = now();
        if (pam_close_session(pam, 0))
            return 1;
        printf("%.4f %.4f\n", middle - start, now() - middle);
    }
    pam_end(pam, 0);
    return 0;
}

static atomic_int stop;
static atomic_ulong turns[8];

/* What hosts with threads do: allocate, look users up, open files; and look whether anything has moved. */
static void *busy(void *argument)
{
    size_t which = (size_t)argument;
    unsigned long home = namespace(), root = number("/"), folder = number(".");
    while (!stop) {
        char *memory = malloc(1 + turns[which] % 5000);
        memory[0] = 1;
        struct passwd entry, *found;
        char buffer[4096];
        if (turns[which] % 50 == 0)
            getpwnam_r("root", &entry, buffer, sizeof buffer, &found);
        if (turns[which] % 7 == 0 && (namespace() != home || number("/") != root || number(".") != folder)) {
            printf("thread %zu has moved\n", which);
            fflush(stdout);
            _exit(4);
        }
        free(memory);
        turns[which]++;
    }
    return NULL;
}

static int count(const char *path)
{
    DIR *directory = opendir(path);
    int entries = 0;
    while (directory && readdir(directory))
        entries++;
    if (directory)
        closedir(directory);
    return entries;
}

/* One session, from beginning to end, with everything that must hold. */
static int one_round(const char *service, const char *user, int round, unsigned long home)
{
    pam_handle_t *pam;
    if (pam_start(service, user, &conversation, &pam))
        return printf("round %d: pam_start failed\n", round), 1;
    int opened = pam_open_session(pam, 0);
    if (opened)
        return printf("round %d: open gave %d\n", round, opened), 1;
    if (namespace() == home)
        return printf("round %d: not inside\n", round), 1;
    int closed = pam_close_session(pam, 0);
    if (closed || namespace() != home)
        return printf("round %d: close gave %d, or not back\n", round, closed), 1;
    pam_end(pam, 0);
    return 0;
}

static int threads(const char *service, const char *user, int rounds)
{
    unsigned long home = namespace();
    /* The first one opens what libraries keep open. */
    if (one_round(service, user, 0, home))
        return 1;
    int fds = count("/proc/self/fd"), tasks = count("/proc/self/task");
    pthread_t thread[8];
    for (size_t i = 0; i < 8; i++)
        pthread_create(&thread[i], NULL, busy, (void *)i);
    for (int round = 1; round <= rounds; round++)
        if (one_round(service, user, round, home))
            return 1;
    stop = 1;
    for (size_t i = 0; i < 8; i++)
        pthread_join(thread[i], NULL);
    for (size_t i = 0; i < 8; i++)
        if (turns[i] == 0)
            return printf("thread %zu never ran\n", i), 1;
    int child = waitpid(-1, NULL, WNOHANG | __WALL);
    printf("rounds %d, descriptors left %d, threads left %d, children left %s\n", rounds,
           count("/proc/self/fd") - fds, count("/proc/self/task") - tasks,
           child == -1 && errno == ECHILD ? "none" : "some");
    return 0;
}

int main(int count_of, char **argument)
{
    if (count_of < 4)
        return 3;
    const char *what = argument[1], *service = argument[2], *user = argument[3];
    if (!strcmp(what, "failing"))
        return failing(service, user);
    if (!strcmp(what, "calls"))
        return calls(service, user, argument + 4);
    if (!strcmp(what, "time") && count_of > 4)
        return timed(service, user, atoi(argument[4]));
    if (!strcmp(what, "threads") && count_of > 4)
        return threads(service, user, atoi(argument[4]));
    return 3;
}
