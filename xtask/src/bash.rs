//! Completion for bash.
//!
//! The function asks nobody but bash: it works with and without the package that loads it. Of that package one function
//! is used where it is there, to complete the arguments of a program that is run.

use std::fmt::Write as _;

use command_line::{Flag, Hint, Program, Words};

use crate::template::{Taker, filled, identifier, takers, with_values};

const FILE: &str = r##"# Completion of @NAME@ for bash. Written by `cargo xtask generate`.

_@ID@() {
	local command='@PRESET@' option='' lead='' only_words='' kind='' choice='' options=''
	local at word value count=0 program=0
	local cur=${COMP_WORDS[COMP_CWORD]}
	COMPREPLY=()

	# What stands before the cursor: the command, how many words, and whether the cursor is in an option's value.
	for ((at = 1; at < COMP_CWORD; at++)); do
		word=${COMP_WORDS[at]}
		if [[ -z $only_words && $word == -* ]]; then
			value=0
			case $word in
			--) only_words=yes ;;
@SCAN@			esac
			# Where `=` ends a word it is a word of its own.
			if [[ ${COMP_WORDS[at + 1]} == '=' ]]; then
				value=$((at + 2))
			fi
			if ((value >= COMP_CWORD)); then
				option=$word
				break
			fi
			((value == 0)) || at=$value
			continue
		fi
		if [[ -z $command ]]; then
			command=$word
			continue
		fi
@PROGRAM@		count=$((count + 1))
	done
	if [[ -n $option ]]; then
		[[ $cur != '=' ]] || cur=''
	elif [[ -z $only_words && $program == 0 && $cur == --*=* ]]; then
		option=${cur%%=*} lead=${cur%%=*}= cur=${cur#*=}
	fi

	# What can stand at the cursor.
	if [[ -n $option ]]; then
		kind=none
		case $command:$option in
@VALUES@		esac
	else
		case $command:$count in
@WORDS@		esac
		if [[ -z $only_words ]]; then
			case $command in
@OPTIONS@			esac
		fi
	fi

	if ((program > 0)); then
		# The rest of the line is another program's.
		if declare -F _comp_command_offset >/dev/null; then
			_comp_command_offset "$program"
		elif declare -F _command_offset >/dev/null; then
			_command_offset "$program"
		else
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		fi
		return
	fi
	# Where no word belongs, options are shown at once.
	if [[ -z $option && ($cur == -* || -z $kind) ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
		return
	fi
	case $kind in
	user) mapfile -t COMPREPLY < <(compgen -u -- "$cur") ;;
	program) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
	choice) mapfile -t COMPREPLY < <(compgen -W "$choice" -- "$cur") ;;
	file | folder)
		if [[ $kind == file ]]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		fi
		# It fails where the function is not called by bash itself, which harms nobody.
		compopt -o filenames 2>/dev/null
		;;
	esac
	COMPREPLY=("${COMPREPLY[@]/#/$lead}")
}
complete -F _@ID@ @NAME@
"##;

/// In place of a command where a program has none.
const ALONE: &str = ".";

/// The file.
pub(crate) fn completion(program: &Program) -> String {
    let preset = if program.commands.is_empty() { ALONE } else { "" };
    let takers = takers(program);
    filled(
        FILE,
        &[
            ("PRESET", preset),
            ("SCAN", &scan(program)),
            ("PROGRAM", &of_programs(&takers)),
            ("VALUES", &values(program, &takers)),
            ("WORDS", &words(program, &takers)),
            ("OPTIONS", &options(program, &takers)),
            ("ID", &identifier(program.name)),
            ("NAME", program.name),
        ],
    )
}

fn command(taker: &Taker) -> &str {
    taker.command.unwrap_or(ALONE)
}

/// Options whose value is the next word.
fn scan(program: &Program) -> String {
    let names = with_values(program, false);
    if names.is_empty() {
        String::new()
    } else {
        format!("\t\t\t{}) value=$((at + 1)) ;;\n", names.join(" | "))
    }
}

/// Where a program's own words begin.
fn of_programs(takers: &[Taker]) -> String {
    let names: Vec<&str> = takers.iter().filter(|taker| taker.words == Words::Program).map(command).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(
        "\t\tcase $command in\n\t\t{})\n\t\t\tprogram=$at\n\t\t\tbreak\n\t\t\t;;\n\t\tesac\n",
        names.join(" | ")
    )
}

/// What the value of an option is, by command and option; also for options that stand before the command.
fn values(program: &Program, takers: &[Taker]) -> String {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |command: &str, flag: &Flag| {
        let Some(does) = flag.value.and_then(|value| kind(value.hint)) else { return };
        let pattern = format!("{command}:{}", flag.dashed());
        match rows.iter_mut().find(|(known, _)| *known == does) {
            Some((_, patterns)) => patterns.push(pattern),
            None => rows.push((does, vec![pattern])),
        }
    };
    if !program.commands.is_empty() {
        program.all_options().into_iter().for_each(|flag| add("", flag));
    }
    for taker in takers {
        taker.options.iter().for_each(|flag| add(command(taker), flag));
    }
    rows.iter().fold(String::new(), |mut out, (does, patterns)| {
        // A text cannot fail to take more.
        let _ = writeln!(out, "\t\t{}) {does} ;;", patterns.join(" | "));
        out
    })
}

/// What the words are, by command and how many there are already.
fn words(program: &Program, takers: &[Taker]) -> String {
    let mut out = String::new();
    let mut row = |pattern: String, does: &str| {
        let _ = writeln!(out, "\t\t{pattern}) {does} ;;");
    };
    if !program.commands.is_empty() {
        let names: Vec<&str> = program.commands.iter().map(|command| command.name).collect();
        row(":*".to_owned(), &format!("kind=choice choice='{}'", names.join(" ")));
    }
    for taker in takers {
        let name = command(taker);
        match taker.words {
            Words::None => {}
            Words::Program => row(format!("{name}:0"), "kind=program"),
            Words::UpTo(most, hint) => {
                let does = kind(hint).unwrap_or_else(|| "kind=none".to_owned());
                let counts: Vec<String> =
                    (0..most.min(MOST)).map(|count| format!("{name}:{count}")).collect();
                let all = if most > MOST { format!("{name}:*") } else { counts.join(" | ") };
                row(all, &does);
            }
            Words::Choice(known, hint) => {
                row(format!("{name}:0"), &format!("kind=choice choice='{}'", known.join(" ")));
                row(format!("{name}:1"), &kind(hint).unwrap_or_else(|| "kind=none".to_owned()));
            }
        }
    }
    out
}

/// More words than this are counted by nobody.
const MOST: usize = 8;

fn options(program: &Program, takers: &[Taker]) -> String {
    let common: Vec<String> = program.options.iter().map(Flag::dashed).collect();
    let mut out = String::new();
    if !program.commands.is_empty() {
        let _ = writeln!(out, "\t\t\t'') options='{}' ;;", common.join(" "));
    }
    for taker in takers {
        let mut all: Vec<String> = taker.options.iter().map(Flag::dashed).collect();
        all.extend(common.iter().filter(|_| taker.command.is_some()).cloned());
        let _ = writeln!(out, "\t\t\t{}) options='{}' ;;", command(taker), all.join(" "));
    }
    out
}

fn kind(hint: Hint) -> Option<String> {
    match hint {
        Hint::Any | Hint::Script => None,
        Hint::User => Some("kind=user".to_owned()),
        Hint::File => Some("kind=file".to_owned()),
        Hint::Folder => Some("kind=folder".to_owned()),
        Hint::OneOf(known) => Some(format!("kind=choice choice='{}'", known.join(" "))),
    }
}
