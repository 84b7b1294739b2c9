# Completion of sessionctl for fish. Written by `cargo xtask generate`.

# What stands before the cursor, one in a line: the command, how many words follow it, and the words of a program that
# is to be run.
function __sessionctl_at
    set -l words (commandline -opc)
    set -e words[1]
    set -l command ''
    set -l count 0
    set -l only_words no
    while set -q words[1]
        set -l word $words[1]
        if test $only_words = no
            switch $word
                case --
                    set -e words[1]
                    set only_words yes
                    continue
                case --user --service --tty --rhost --profile --config --chroot-conf --chroot-options --namespace-conf --namespace-options --view --session --pid --format --mode --root --from --method
                    set -e words[1]
                    set -q words[1]; and set -e words[1]
                    continue
                case '-*'
                    set -e words[1]
                    continue
            end
        end
        if test -z "$command"
            set command $word
        else if contains -- $command enter
            break
        else
            set count (math $count + 1)
        end
        set -e words[1]
    end
    echo $command
    echo $count
    printf '%s\n' $words
end

# Is this the command? With numbers behind it: are there as many words as one of these says, and is it the next one that
# is being typed?
function __sessionctl_is
    set -l at (__sessionctl_at)
    test "$at[1]" = "$argv[1]"; or return 1
    set -q at[3]; and test -n "$at[3]"; and return 1
    set -q argv[2]; or return 0
    string match -q -- '-*' (commandline -ct); and return 1
    contains -- $at[2] $argv[2..]
end

# Is the cursor in the words of a program?
function __sessionctl_runs
    set -l at (__sessionctl_at)
    set -q at[3]; and test -n "$at[3]"
end

# What that program's own completion says.
function __sessionctl_program
    set -l at (__sessionctl_at)
    complete -C (string join -- ' ' (string escape -- $at[3..]) (commandline -ct))
end

complete -c sessionctl -f
complete -c sessionctl -n __sessionctl_runs -a '(__sessionctl_program)'

complete -c sessionctl -n '__sessionctl_is ""' -a plan -d 'Show what a login would find, and which line of the map says so'
complete -c sessionctl -n '__sessionctl_is ""' -a why -d 'Show which line of the map shows a path, hides it or protects it'
complete -c sessionctl -n '__sessionctl_is ""' -a can -d 'Tell whether a user\'s session can do something with a path'
complete -c sessionctl -n '__sessionctl_is ""' -a diff -d 'Compare what is mounted in a living view with what the map says now'
complete -c sessionctl -n '__sessionctl_is ""' -a check -d 'Show everything that is wrong with a map, before somebody logs in'
complete -c sessionctl -n '__sessionctl_is ""' -a audit -d 'Look for ways out of a user\'s session, from inside'
complete -c sessionctl -n '__sessionctl_is ""' -a selftest -d 'Try the known attacks on a session, and say which were stopped'
complete -c sessionctl -n '__sessionctl_is ""' -a discover -d 'Write a map for this host, with comments, ready to be edited'
complete -c sessionctl -n '__sessionctl_is ""' -a import -d 'Write another program\'s configuration again as a map'
complete -c sessionctl -n '__sessionctl_is ""' -a list -d 'Show the views and sessions that live'
complete -c sessionctl -n '__sessionctl_is ""' -a begin -d 'Open a session that lasts until it is ended, and print its name'
complete -c sessionctl -n '__sessionctl_is ""' -a enter -d 'Run a command, or a shell, in a view that lives'
complete -c sessionctl -n '__sessionctl_is ""' -a end -d 'End a session, a view, or all that a user has'
complete -c sessionctl -n '__sessionctl_is ""' -a recover -d 'Begin again what was begun before the host was restarted'
complete -c sessionctl -n '__sessionctl_is ""' -a gc -d 'Take away what belongs to nobody alive; safe at any moment'
complete -c sessionctl -n '__sessionctl_is ""' -a scripts -d 'Show what session scripts have run, and how each ended'
complete -c sessionctl -n '__sessionctl_is ""' -a setup -d 'Have logins opened into views; every change is shown first'
complete -c sessionctl -n '__sessionctl_is ""' -a doctor -d 'Look whether logins open a view, and whether all is in order'
complete -c sessionctl -n '__sessionctl_is ""' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is ""' -l version -d 'Print the version'

complete -c sessionctl -n '__sessionctl_is plan' -l user -x -a '(__fish_complete_users)' -d 'Whose logins; without it, your own'
complete -c sessionctl -n '__sessionctl_is plan' -l service -x -d 'The door: the name of a PAM service; without it, sshd'
complete -c sessionctl -n '__sessionctl_is plan' -l tty -x -d 'The terminal that the login comes on, without /dev/'
complete -c sessionctl -n '__sessionctl_is plan' -l rhost -x -d 'The host that the login comes from'
complete -c sessionctl -n '__sessionctl_is plan' -l profile -x -d 'Use this profile of the map, whatever matches'
complete -c sessionctl -n '__sessionctl_is plan' -l config -r -F -d 'Read this map, and no other'
complete -c sessionctl -n '__sessionctl_is plan' -l chroot-conf -r -F -d 'Instead of a map, read this file of pam_chroot\'s'
complete -c sessionctl -n '__sessionctl_is plan' -l chroot-options -x -d 'With it: what stands behind pam_chroot.so'
complete -c sessionctl -n '__sessionctl_is plan' -l namespace-conf -r -F -d 'Instead of a map, read this file of pam_namespace\'s'
complete -c sessionctl -n '__sessionctl_is plan' -l namespace-options -x -d 'With it: what stands behind pam_namespace.so'
complete -c sessionctl -n '__sessionctl_is plan' -l tree -d 'As the tree that the session will see'
complete -c sessionctl -n '__sessionctl_is plan' -l json -d 'For programs'
complete -c sessionctl -n '__sessionctl_is plan' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is plan' -l version -d 'Print the version'

complete -c sessionctl -n '__sessionctl_is why' -l user -x -a '(__fish_complete_users)' -d 'Whose logins; without it, your own'
complete -c sessionctl -n '__sessionctl_is why' -l service -x -d 'The door: the name of a PAM service; without it, sshd'
complete -c sessionctl -n '__sessionctl_is why' -l tty -x -d 'The terminal that the login comes on, without /dev/'
complete -c sessionctl -n '__sessionctl_is why' -l rhost -x -d 'The host that the login comes from'
complete -c sessionctl -n '__sessionctl_is why' -l profile -x -d 'Use this profile of the map, whatever matches'
complete -c sessionctl -n '__sessionctl_is why' -l config -r -F -d 'Read this map, and no other'
complete -c sessionctl -n '__sessionctl_is why' -l chroot-conf -r -F -d 'Instead of a map, read this file of pam_chroot\'s'
complete -c sessionctl -n '__sessionctl_is why' -l chroot-options -x -d 'With it: what stands behind pam_chroot.so'
complete -c sessionctl -n '__sessionctl_is why' -l namespace-conf -r -F -d 'Instead of a map, read this file of pam_namespace\'s'
complete -c sessionctl -n '__sessionctl_is why' -l namespace-options -x -d 'With it: what stands behind pam_namespace.so'
complete -c sessionctl -n '__sessionctl_is why' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is why' -l version -d 'Print the version'
complete -c sessionctl -n '__sessionctl_is why 0' -F

complete -c sessionctl -n '__sessionctl_is can' -l user -x -a '(__fish_complete_users)' -d 'Whose logins; without it, your own'
complete -c sessionctl -n '__sessionctl_is can' -l service -x -d 'The door: the name of a PAM service; without it, sshd'
complete -c sessionctl -n '__sessionctl_is can' -l tty -x -d 'The terminal that the login comes on, without /dev/'
complete -c sessionctl -n '__sessionctl_is can' -l rhost -x -d 'The host that the login comes from'
complete -c sessionctl -n '__sessionctl_is can' -l profile -x -d 'Use this profile of the map, whatever matches'
complete -c sessionctl -n '__sessionctl_is can' -l config -r -F -d 'Read this map, and no other'
complete -c sessionctl -n '__sessionctl_is can' -l chroot-conf -r -F -d 'Instead of a map, read this file of pam_chroot\'s'
complete -c sessionctl -n '__sessionctl_is can' -l chroot-options -x -d 'With it: what stands behind pam_chroot.so'
complete -c sessionctl -n '__sessionctl_is can' -l namespace-conf -r -F -d 'Instead of a map, read this file of pam_namespace\'s'
complete -c sessionctl -n '__sessionctl_is can' -l namespace-options -x -d 'With it: what stands behind pam_namespace.so'
complete -c sessionctl -n '__sessionctl_is can' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is can' -l version -d 'Print the version'
complete -c sessionctl -n '__sessionctl_is can 0' -a 'read write exec suid'
complete -c sessionctl -n '__sessionctl_is can 1' -F

complete -c sessionctl -n '__sessionctl_is diff' -l user -x -a '(__fish_complete_users)' -d 'The views of this user; with --pid whose plan, if not that of the process\'s owner'
complete -c sessionctl -n '__sessionctl_is diff' -l view -x -d 'A view by the name that list shows, such as user-1001.login'
complete -c sessionctl -n '__sessionctl_is diff' -l session -x -d 'One session, by the name that list shows'
complete -c sessionctl -n '__sessionctl_is diff' -l pid -x -d 'What this process sees, by the number that this host gives it'
complete -c sessionctl -n '__sessionctl_is diff' -l profile -x -d 'With --pid: the plan by this profile, whatever matches'
complete -c sessionctl -n '__sessionctl_is diff' -l config -r -F -d 'Read this map, and no other'
complete -c sessionctl -n '__sessionctl_is diff' -l json -d 'For programs'
complete -c sessionctl -n '__sessionctl_is diff' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is diff' -l version -d 'Print the version'

complete -c sessionctl -n '__sessionctl_is check' -l drop-in -d 'The files are put on top of the map that is in place'
complete -c sessionctl -n '__sessionctl_is check' -l user -x -a '(__fish_complete_users)' -d 'Plan for this user'
complete -c sessionctl -n '__sessionctl_is check' -l all-users -d 'Plan for every user that the host lists'
complete -c sessionctl -n '__sessionctl_is check' -l chroot-conf -r -F -d 'Instead of a map, read this file of pam_chroot\'s'
complete -c sessionctl -n '__sessionctl_is check' -l chroot-options -x -d 'With it: what stands behind pam_chroot.so'
complete -c sessionctl -n '__sessionctl_is check' -l strict -d 'Let warnings count as errors'
complete -c sessionctl -n '__sessionctl_is check' -l format -x -a 'text json sarif' -d 'text, json or sarif'
complete -c sessionctl -n '__sessionctl_is check' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is check' -l version -d 'Print the version'
complete -c sessionctl -n '__sessionctl_is check 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31' -F

complete -c sessionctl -n '__sessionctl_is audit' -l user -x -a '(__fish_complete_users)' -d 'Whose logins; without it, your own'
complete -c sessionctl -n '__sessionctl_is audit' -l service -x -d 'The door: the name of a PAM service; without it, sshd'
complete -c sessionctl -n '__sessionctl_is audit' -l tty -x -d 'The terminal that the login comes on, without /dev/'
complete -c sessionctl -n '__sessionctl_is audit' -l rhost -x -d 'The host that the login comes from'
complete -c sessionctl -n '__sessionctl_is audit' -l profile -x -d 'Use this profile of the map, whatever matches'
complete -c sessionctl -n '__sessionctl_is audit' -l config -r -F -d 'Read this map, and no other'
complete -c sessionctl -n '__sessionctl_is audit' -l strict -d 'Let warnings count as errors'
complete -c sessionctl -n '__sessionctl_is audit' -l format -x -a 'text json sarif' -d 'text, json or sarif'
complete -c sessionctl -n '__sessionctl_is audit' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is audit' -l version -d 'Print the version'

complete -c sessionctl -n '__sessionctl_is selftest' -l user -x -a '(__fish_complete_users)' -d 'Whose session; without it, that of a user made for this'
complete -c sessionctl -n '__sessionctl_is selftest' -l service -x -d 'The door: the name of a PAM service; without it, sshd'
complete -c sessionctl -n '__sessionctl_is selftest' -l tty -x -d 'The terminal that the login comes on, without /dev/'
complete -c sessionctl -n '__sessionctl_is selftest' -l rhost -x -d 'The host that the login comes from'
complete -c sessionctl -n '__sessionctl_is selftest' -l profile -x -d 'Use this profile of the map, whatever matches'
complete -c sessionctl -n '__sessionctl_is selftest' -l config -r -F -d 'Read this map, and no other'
complete -c sessionctl -n '__sessionctl_is selftest' -l mode -x -a 'namespace chroot' -d 'How the root is switched'
complete -c sessionctl -n '__sessionctl_is selftest' -l json -d 'For programs'
complete -c sessionctl -n '__sessionctl_is selftest' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is selftest' -l version -d 'Print the version'

complete -c sessionctl -n '__sessionctl_is discover' -l root -x -a '(__fish_complete_directories (string replace -r -- "^--[^=]*=" "" (commandline -ct)))' -d 'The host whose root is DIR, for whoever builds images'
complete -c sessionctl -n '__sessionctl_is discover' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is discover' -l version -d 'Print the version'

complete -c sessionctl -n '__sessionctl_is import' -l from -x -a 'pam_chroot pam_namespace schroot fstab bwrap systemd' -d 'pam_chroot, pam_namespace, schroot, fstab, bwrap or systemd'
complete -c sessionctl -n '__sessionctl_is import' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is import' -l version -d 'Print the version'
complete -c sessionctl -n '__sessionctl_is import 0' -F

complete -c sessionctl -n '__sessionctl_is list' -l json -d 'For programs'
complete -c sessionctl -n '__sessionctl_is list' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is list' -l version -d 'Print the version'

complete -c sessionctl -n '__sessionctl_is begin' -l user -x -a '(__fish_complete_users)' -d 'Whose'
complete -c sessionctl -n '__sessionctl_is begin' -l service -x -d 'The door to match profiles against: the name of a PAM service, such as sshd'
complete -c sessionctl -n '__sessionctl_is begin' -l profile -x -d 'Use this profile of the map, whatever matches'
complete -c sessionctl -n '__sessionctl_is begin' -l config -r -F -d 'Read this map, and no other'
complete -c sessionctl -n '__sessionctl_is begin' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is begin' -l version -d 'Print the version'

complete -c sessionctl -n '__sessionctl_is enter' -l user -x -a '(__fish_complete_users)' -d 'Whose'
complete -c sessionctl -n '__sessionctl_is enter' -l view -x -d 'A view by the name that list shows, such as user-1001.login'
complete -c sessionctl -n '__sessionctl_is enter' -l session -x -d 'One session, by the name that list shows'
complete -c sessionctl -n '__sessionctl_is enter' -l as-root -d 'As root, with all rights, in a tree whose user can change parts of it'
complete -c sessionctl -n '__sessionctl_is enter' -l config -r -F -d 'Read this map, and no other'
complete -c sessionctl -n '__sessionctl_is enter' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is enter' -l version -d 'Print the version'
complete -c sessionctl -n '__sessionctl_is enter 0' -a '(__fish_complete_command)'

complete -c sessionctl -n '__sessionctl_is end' -l user -x -a '(__fish_complete_users)' -d 'Whose'
complete -c sessionctl -n '__sessionctl_is end' -l view -x -d 'A view by the name that list shows, such as user-1001.login'
complete -c sessionctl -n '__sessionctl_is end' -l session -x -d 'One session, by the name that list shows'
complete -c sessionctl -n '__sessionctl_is end' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is end' -l version -d 'Print the version'

complete -c sessionctl -n '__sessionctl_is recover' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is recover' -l version -d 'Print the version'

complete -c sessionctl -n '__sessionctl_is gc' -l json -d 'For programs'
complete -c sessionctl -n '__sessionctl_is gc' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is gc' -l version -d 'Print the version'

complete -c sessionctl -n '__sessionctl_is scripts' -l session -x -d 'Of this session alone, ended or not'
complete -c sessionctl -n '__sessionctl_is scripts' -l json -d 'For programs'
complete -c sessionctl -n '__sessionctl_is scripts' -l test -d 'Run a session with scripts of its own, and look at those of the user'
complete -c sessionctl -n '__sessionctl_is scripts' -l user -x -a '(__fish_complete_users)' -d 'Whose'
complete -c sessionctl -n '__sessionctl_is scripts' -l config -r -F -d 'With --test: this session-scripts.conf'
complete -c sessionctl -n '__sessionctl_is scripts' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is scripts' -l version -d 'Print the version'

complete -c sessionctl -n '__sessionctl_is setup' -l method -x -a 'pam consolekit logind' -d 'pam: a line in the PAM configuration; consolekit: a script for ConsoleKit; logind says why there is none for it'
complete -c sessionctl -n '__sessionctl_is setup' -l undo -d 'Take back what an earlier setup has changed'
complete -c sessionctl -n '__sessionctl_is setup' -l dry-run -d 'Show what would be changed, and change nothing'
complete -c sessionctl -n '__sessionctl_is setup' -l root -x -a '(__fish_complete_directories (string replace -r -- "^--[^=]*=" "" (commandline -ct)))' -d 'The host whose root is DIR, for whoever builds images'
complete -c sessionctl -n '__sessionctl_is setup' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is setup' -l version -d 'Print the version'

complete -c sessionctl -n '__sessionctl_is doctor' -l json -d 'For programs'
complete -c sessionctl -n '__sessionctl_is doctor' -l root -x -a '(__fish_complete_directories (string replace -r -- "^--[^=]*=" "" (commandline -ct)))' -d 'The host whose root is DIR, for whoever builds images'
complete -c sessionctl -n '__sessionctl_is doctor' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is doctor' -l version -d 'Print the version'
