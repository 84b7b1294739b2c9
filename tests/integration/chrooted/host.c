/* A PAM application for the comparison with pam_chroot.
 *
 *   host SERVICE USER [SERVICE USER]...
 *
 * opens a session of each in a process of its own, and prints a line for each: the result and which directory the root is
 * then, by device and number; or the signal that ended the process.
 *
 * libpam's development package need not be installed: what is used of it is declared here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct pam_handle pam_handle_t;
struct pam_message { int style; const char *text; };
struct pam_response { char *text; int code; };
struct pam_conv {
    int (*converse)(int, const struct pam_message **, struct pam_response **, void *);
    void *data;
};
int pam_start(const char *, const char *, const struct pam_conv *, pam_handle_t **);
int pam_open_session(pam_handle_t *, int);

static int converse(int count, const struct pam_message **messages, struct pam_response **answers, void *data)
{
    (void)messages;
    (void)data;
    *answers = calloc((size_t)count, sizeof **answers);
    return 0;
}

static const struct pam_conv conversation = { converse, NULL };

static int session(const char *service, const char *user)
{
    pam_handle_t *pam;
    if (pam_start(service, user, &conversation, &pam))
        return printf("no start\n"), 1;
    int result = pam_open_session(pam, 0);
    struct stat root;
    if (stat("/", &root))
        return printf("no root\n"), 1;
    printf("%d %lu:%lu\n", result, (unsigned long)root.st_dev, (unsigned long)root.st_ino);
    return 0;
}

int main(int count, char **argument)
{
    for (int i = 1; i + 1 < count; i += 2) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            int status = session(argument[i], argument[i + 1]);
            fflush(stdout);
            _exit(status);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (WIFSIGNALED(status))
            printf("signal %d\n", WTERMSIG(status));
    }
    return 0;
}
