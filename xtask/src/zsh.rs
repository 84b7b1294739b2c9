//! Completion for zsh.

use std::fmt::Write as _;

use command_line::{Flag, Hint, Program, Words};

use crate::template::{Taker, filled, identifier, plain, takers};

const FILE: &str = r#"#compdef @NAME@
# Completion of @NAME@ for zsh. Written by `cargo xtask generate`.

_@ID@() {
	local curcontext=$curcontext state state_descr line ret=1
	typeset -A opt_args
@BODY@	return ret
}

_@ID@ "$@"
"#;

const COMMANDS: &str = r#"	_arguments -C \
@COMMON@		'1: :->command' \
		'*:: :->arguments' && ret=0
	case $state in
	command)
		local -a commands=(
@COMMANDS@		)
		_describe -t commands command commands && ret=0
		;;
	arguments)
		curcontext=${curcontext%:*:*}:@NAME@-$words[1]:
		case $words[1] in
@CASES@		esac
		;;
	esac
"#;

/// The file.
pub(crate) fn completion(program: &Program) -> String {
    let takers = takers(program);
    let body = match &takers[..] {
        [Taker { command: None, .. }] => arguments(&takers[0], &[], "\t"),
        _ => filled(
            COMMANDS,
            &[
                (
                    "COMMON",
                    &program
                        .options
                        .iter()
                        .map(|flag| format!("\t\t{} \\\n", option(flag)))
                        .collect::<String>(),
                ),
                ("COMMANDS", &commands(program)),
                ("CASES", &cases(program, &takers)),
            ],
        ),
    };
    filled(FILE, &[("BODY", &body), ("ID", &identifier(program.name)), ("NAME", program.name)])
}

fn commands(program: &Program) -> String {
    let row = |name: &str, about: &str| format!("\t\t\t{}\n", quoted(&format!("{name}:{}", plain(about))));
    program.commands.iter().map(|command| row(command.name, command.about)).collect()
}

fn cases(program: &Program, takers: &[Taker]) -> String {
    let mut out = String::new();
    for taker in takers {
        let name = taker.command.unwrap_or_default();
        let body = arguments(taker, program.options, "\t\t\t");
        // A text cannot fail to take more.
        let _ = write!(out, "\t\t{name})\n{body}\t\t\t;;\n");
    }
    out
}

/// A call of `_arguments` with all that can stand there.
fn arguments(taker: &Taker, common: &[Flag], indent: &str) -> String {
    let mut rows: Vec<String> = taker.options.iter().chain(common).map(option).collect();
    rows.extend(words(taker.words));
    let mut out = format!("{indent}_arguments -s -S");
    for row in rows {
        let _ = write!(out, " \\\n{indent}\t{row}");
    }
    out + " && ret=0\n"
}

fn option(flag: &Flag) -> String {
    let help = plain(flag.help).replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]");
    let (mark, value) = match flag.value {
        None => ("", String::new()),
        Some(value) => {
            let mark = match (value.optional, flag.name.len()) {
                (true, _) => "=-",
                (false, 1) => "+",
                (false, _) => "=",
            };
            let colons = if value.optional { "::" } else { ":" };
            (mark, format!("{colons}{}:{}", value.name, action(value.hint)))
        }
    };
    quoted(&format!("{}{mark}[{help}]{value}", flag.dashed()))
}

fn words(words: Words) -> Vec<String> {
    match words {
        Words::None => Vec::new(),
        // From the program on nothing is an option of ours.
        Words::Program => {
            vec![quoted("(-)1:command:_command_names -e"), quoted("*::argument:_normal")]
        }
        Words::UpTo(most, hint) if most > MOST => vec![quoted(&format!("*:word:{}", action(hint)))],
        Words::UpTo(most, hint) => {
            (1..=most).map(|at| quoted(&format!("{at}:word:{}", action(hint)))).collect()
        }
        Words::Choice(known, hint) => vec![
            quoted(&format!("1:word:{}", action(Hint::OneOf(known)))),
            quoted(&format!("2:word:{}", action(hint))),
        ],
    }
}

/// More words than this are counted by nobody.
const MOST: usize = 8;

fn action(hint: Hint) -> String {
    match hint {
        Hint::Any | Hint::Script => " ".to_owned(),
        Hint::User => "_users".to_owned(),
        Hint::File => "_files".to_owned(),
        Hint::Folder => "_files -/".to_owned(),
        Hint::OneOf(known) => format!("({})", known.join(" ")),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
