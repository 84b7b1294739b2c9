# Completion of session-scripts for fish. Written by `cargo xtask generate`.

# What stands before the cursor, one in a line: the command, how many words follow it, and the words of a program that
# is to be run.
function __session_scripts_at
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
                case --user --session --from --leader --compat --config --service --tty --rhost --ruser --display --xauthority --xdg-id --type --class --seat --vtnr --runtime-dir --name
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
function __session_scripts_is
    set -l at (__session_scripts_at)
    test "$at[1]" = "$argv[1]"; or return 1
    set -q at[3]; and test -n "$at[3]"; and return 1
    set -q argv[2]; or return 0
    string match -q -- '-*' (commandline -ct); and return 1
    contains -- $at[2] $argv[2..]
end

# Is the cursor in the words of a program?
function __session_scripts_runs
    set -l at (__session_scripts_at)
    set -q at[3]; and test -n "$at[3]"
end

# What that program's own completion says.
function __session_scripts_program
    set -l at (__session_scripts_at)
    complete -C (string join -- ' ' (string escape -- $at[3..]) (commandline -ct))
end

complete -c session-scripts -f
complete -c session-scripts -n __session_scripts_runs -a '(__session_scripts_program)'

complete -c session-scripts -n '__session_scripts_is ""' -a added -d 'Run the scripts of a session that begins'
complete -c session-scripts -n '__session_scripts_is ""' -a removed -d 'Run the scripts of a session that has ended'
complete -c session-scripts -n '__session_scripts_is ""' -a pam -d 'Do what PAM_TYPE says; pam_exec calls this'
complete -c session-scripts -n '__session_scripts_is ""' -a ck -d 'Do what ConsoleKit\'s event says; ConsoleKit calls this'
complete -c session-scripts -n '__session_scripts_is ""' -a sweep -d 'Run the scripts of ends that nobody has noticed'
complete -c session-scripts -n '__session_scripts_is ""' -l help -d 'Print a summary'
complete -c session-scripts -n '__session_scripts_is ""' -l version -d 'Print the version'

complete -c session-scripts -n '__session_scripts_is added' -l user -x -a '(__fish_complete_users)' -d 'Whose session'
complete -c session-scripts -n '__session_scripts_is added' -l session -x -d 'What the source calls the session'
complete -c session-scripts -n '__session_scripts_is added' -l from -x -a 'hand logind consolekit pam_exec pam_script gdm lightdm xdm' -d 'Who tells of it: hand (the default), logind, consolekit, pam_exec, pam_script, gdm, lightdm, xdm. What a source tells in its environment is read there'
complete -c session-scripts -n '__session_scripts_is added' -l leader -x -d 'The session ends with this process, if nobody says so before'
complete -c session-scripts -n '__session_scripts_is added' -l compat -x -a 'consolekit gdm lightdm xdm' -d 'Run another session manager\'s scripts, too: consolekit, gdm, lightdm, xdm'
complete -c session-scripts -n '__session_scripts_is added' -l config -r -F -d 'Instead of /etc/session.d/session-scripts.conf'
complete -c session-scripts -n '__session_scripts_is added' -l env -d 'Print what the scripts have set, NAME=value'
complete -c session-scripts -n '__session_scripts_is added' -l service -x -d 'The PAM service'
complete -c session-scripts -n '__session_scripts_is added' -l tty -x -d 'The terminal'
complete -c session-scripts -n '__session_scripts_is added' -l rhost -x -d 'The remote host'
complete -c session-scripts -n '__session_scripts_is added' -l ruser -x -d 'The user on the remote host'
complete -c session-scripts -n '__session_scripts_is added' -l display -x -d 'The X display, such as :0'
complete -c session-scripts -n '__session_scripts_is added' -l xauthority -r -F -d 'The file with the key to the X display'
complete -c session-scripts -n '__session_scripts_is added' -l xdg-id -x -d 'What logind calls the session'
complete -c session-scripts -n '__session_scripts_is added' -l type -x -d 'What logind says of its type: x11, tty'
complete -c session-scripts -n '__session_scripts_is added' -l class -x -d 'What logind says of its class: user, greeter'
complete -c session-scripts -n '__session_scripts_is added' -l seat -x -d 'The seat, such as seat0'
complete -c session-scripts -n '__session_scripts_is added' -l vtnr -x -d 'The number of the virtual terminal'
complete -c session-scripts -n '__session_scripts_is added' -l runtime-dir -x -a '(__fish_complete_directories (string replace -r -- "^--[^=]*=" "" (commandline -ct)))' -d 'The user\'s folder in /run/user'
complete -c session-scripts -n '__session_scripts_is added' -l help -d 'Print a summary'
complete -c session-scripts -n '__session_scripts_is added' -l version -d 'Print the version'

complete -c session-scripts -n '__session_scripts_is removed' -l name -x -d 'What we call it: Session7. added prints it'
complete -c session-scripts -n '__session_scripts_is removed' -l session -x -d 'What the source calls the session'
complete -c session-scripts -n '__session_scripts_is removed' -l from -x -a 'hand logind consolekit pam_exec pam_script gdm lightdm xdm' -d 'Who tells of it: hand (the default), logind, consolekit, pam_exec, pam_script, gdm, lightdm, xdm. What a source tells in its environment is read there'
complete -c session-scripts -n '__session_scripts_is removed' -l user -x -a '(__fish_complete_users)' -d 'Whose session'
complete -c session-scripts -n '__session_scripts_is removed' -l compat -x -a 'consolekit gdm lightdm xdm' -d 'Run another session manager\'s scripts, too: consolekit, gdm, lightdm, xdm'
complete -c session-scripts -n '__session_scripts_is removed' -l config -r -F -d 'Instead of /etc/session.d/session-scripts.conf'
complete -c session-scripts -n '__session_scripts_is removed' -l wait -d 'Wait for the scripts of the end'
complete -c session-scripts -n '__session_scripts_is removed' -l help -d 'Print a summary'
complete -c session-scripts -n '__session_scripts_is removed' -l version -d 'Print the version'

complete -c session-scripts -n '__session_scripts_is pam' -l compat -x -a 'consolekit gdm lightdm xdm' -d 'Run another session manager\'s scripts, too: consolekit, gdm, lightdm, xdm'
complete -c session-scripts -n '__session_scripts_is pam' -l config -r -F -d 'Instead of /etc/session.d/session-scripts.conf'
complete -c session-scripts -n '__session_scripts_is pam' -l env -d 'Print what the scripts have set, NAME=value'
complete -c session-scripts -n '__session_scripts_is pam' -l wait -d 'Wait for the scripts of the end'
complete -c session-scripts -n '__session_scripts_is pam' -l help -d 'Print a summary'
complete -c session-scripts -n '__session_scripts_is pam' -l version -d 'Print the version'

complete -c session-scripts -n '__session_scripts_is ck' -l compat -x -a 'consolekit gdm lightdm xdm' -d 'Run another session manager\'s scripts, too: consolekit, gdm, lightdm, xdm'
complete -c session-scripts -n '__session_scripts_is ck' -l config -r -F -d 'Instead of /etc/session.d/session-scripts.conf'
complete -c session-scripts -n '__session_scripts_is ck' -l wait -d 'Wait for the scripts of the end'
complete -c session-scripts -n '__session_scripts_is ck' -l help -d 'Print a summary'
complete -c session-scripts -n '__session_scripts_is ck' -l version -d 'Print the version'
complete -c session-scripts -n '__session_scripts_is ck 0' -a 'session_added session_removed'

complete -c session-scripts -n '__session_scripts_is sweep' -l config -r -F -d 'Instead of /etc/session.d/session-scripts.conf'
complete -c session-scripts -n '__session_scripts_is sweep' -l wait -d 'Wait for the scripts of the end'
complete -c session-scripts -n '__session_scripts_is sweep' -l help -d 'Print a summary'
complete -c session-scripts -n '__session_scripts_is sweep' -l version -d 'Print the version'
