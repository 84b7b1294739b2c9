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
                case --user --service --profile --config --view --session --method --root
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

complete -c sessionctl -n '__sessionctl_is setup' -l method -x -a 'pam consolekit' -d 'pam: a line in the PAM configuration; consolekit: a script for ConsoleKit'
complete -c sessionctl -n '__sessionctl_is setup' -l undo -d 'Take back what an earlier setup has changed'
complete -c sessionctl -n '__sessionctl_is setup' -l dry-run -d 'Show what would be changed, and change nothing'
complete -c sessionctl -n '__sessionctl_is setup' -l root -x -a '(__fish_complete_directories (string replace -r -- "^--[^=]*=" "" (commandline -ct)))' -d 'The host whose root is DIR, for whoever builds images'
complete -c sessionctl -n '__sessionctl_is setup' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is setup' -l version -d 'Print the version'

complete -c sessionctl -n '__sessionctl_is doctor' -l json -d 'For programs'
complete -c sessionctl -n '__sessionctl_is doctor' -l root -x -a '(__fish_complete_directories (string replace -r -- "^--[^=]*=" "" (commandline -ct)))' -d 'The host whose root is DIR, for whoever builds images'
complete -c sessionctl -n '__sessionctl_is doctor' -l help -d 'Print a summary'
complete -c sessionctl -n '__sessionctl_is doctor' -l version -d 'Print the version'
