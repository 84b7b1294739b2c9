# Completion of session-enter for fish. Written by `cargo xtask generate`.

# What stands before the cursor, one in a line: the command, how many words follow it, and the words of a program that
# is to be run.
function __session_enter_at
    set -l words (commandline -opc)
    set -e words[1]
    set -l command '.'
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
                case --user --mode --scope --profile --config --chroot-conf --chroot-options --namespace-conf --namespace-options --root --service --tty --rhost --session -c
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
        else if contains -- $command .
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
function __session_enter_is
    set -l at (__session_enter_at)
    test "$at[1]" = "$argv[1]"; or return 1
    set -q at[3]; and test -n "$at[3]"; and return 1
    set -q argv[2]; or return 0
    string match -q -- '-*' (commandline -ct); and return 1
    contains -- $at[2] $argv[2..]
end

# Is the cursor in the words of a program?
function __session_enter_runs
    set -l at (__session_enter_at)
    set -q at[3]; and test -n "$at[3]"
end

# What that program's own completion says.
function __session_enter_program
    set -l at (__session_enter_at)
    complete -C (string join -- ' ' (string escape -- $at[3..]) (commandline -ct))
end

complete -c session-enter -f
complete -c session-enter -n __session_enter_runs -a '(__session_enter_program)'

complete -c session-enter -n '__session_enter_is .' -l user -x -a '(__fish_complete_users)' -d 'Whose root; without it, your own'
complete -c session-enter -n '__session_enter_is .' -l mode -x -a 'namespace chroot' -d 'namespace or chroot, instead of what the map says'
complete -c session-enter -n '__session_enter_is .' -l scope -x -a 'session user group named' -d 'Who shares the namespace: session, user, group or named; session takes a private copy of a shared one'
complete -c session-enter -n '__session_enter_is .' -l profile -x -d 'Use this profile of the map, whatever matches'
complete -c session-enter -n '__session_enter_is .' -l config -r -F -d 'Read this map, and no other'
complete -c session-enter -n '__session_enter_is .' -l chroot-conf -r -F -d 'Instead of a map, read this file of pam_chroot\'s'
complete -c session-enter -n '__session_enter_is .' -l chroot-options -x -d 'With --chroot-conf: what stands behind pam_chroot.so in its service, as use_groups use_regex'
complete -c session-enter -n '__session_enter_is .' -l namespace-conf -r -F -d 'Instead of a map, read this file of pam_namespace\'s, and namespace.d beside it'
complete -c session-enter -n '__session_enter_is .' -l namespace-options -x -d 'With --namespace-conf: what stands behind pam_namespace.so in its service'
complete -c session-enter -n '__session_enter_is .' -l dry-run -a 'text json' -d 'Print what would be done, and do nothing'
complete -c session-enter -n '__session_enter_is .' -l prepare -d 'Put the tree at its path on the host, for a later chroot; counts one holder'
complete -c session-enter -n '__session_enter_is .' -l release -d 'Count one holder less; the last one takes the tree away'
complete -c session-enter -n '__session_enter_is .' -l root -x -a '(__fish_complete_directories (string replace -r -- "^--[^=]*=" "" (commandline -ct)))' -d 'With --prepare, --release: the path, instead of what the map says'
complete -c session-enter -n '__session_enter_is .' -l service -x -d 'The door to match profiles against: the name of a PAM service, such as sshd'
complete -c session-enter -n '__session_enter_is .' -l tty -x -d 'The terminal to match profiles against, without /dev/'
complete -c session-enter -n '__session_enter_is .' -l rhost -x -d 'The remote host to match profiles against'
complete -c session-enter -n '__session_enter_is .' -l session -x -d 'The session\'s id, for %i in the map'
complete -c session-enter -n '__session_enter_is .' -l scripts -d 'Run session scripts at the beginning and the end, as a login through PAM does'
complete -c session-enter -n '__session_enter_is .' -s c -x -d 'Run this text by the user\'s login shell'
complete -c session-enter -n '__session_enter_is .' -l help -d 'Print a summary'
complete -c session-enter -n '__session_enter_is .' -l version -d 'Print the version'
complete -c session-enter -n '__session_enter_is . 0' -a '(__fish_complete_command)'
