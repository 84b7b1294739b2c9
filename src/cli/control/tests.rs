use super::*;

fn words(words: &[&str]) -> Result<Control, String> {
    let words = std::iter::once("sessionctl").chain(words.iter().copied()).map(OsString::from);
    read(words).map_err(|error| error.to_string())
}

#[test]
fn a_commands_own_options_stay_its_own() {
    let expected = Control::Enter {
        whose: Whose::User("bob".to_owned()),
        as_root: true,
        config: None,
        command: ["ls", "--user", "x", "--json"].map(OsString::from).to_vec(),
    };
    assert_eq!(words(&["enter", "--user", "bob", "--as-root", "ls", "--user", "x", "--json"]), Ok(expected));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for wrong in [
        &[][..],
        &["lst"],
        &["end"],
        &["end", "--user", "bob", "--view", "x"],
        &["end", "--view", "../prepared"],
        &["end", "--user", "bob", "--as-root"],
        &["end", "--user", "bob", "now"],
        &["list", "--user", "bob"],
        &["gc", "--frobnicate"],
        &["enter", "--json", "--user", "bob"],
        &["setup"],
        &["setup", "--method", "upstart"],
        &["setup", "--method", "pam", "--json"],
        &["setup", "--method", "pam", "--root", "image"],
        &["setup", "--method", "pam", "--user", "bob"],
        &["begin"],
        &["begin", "--user", "bob", "--view", "x"],
        &["recover", "--user", "bob"],
        &["end", "--user", "bob", "--session", "Session1"],
        &["end", "--user", "bob", "--service", "x"],
        &["scripts", "--user", "bob"],
        &["scripts", "--test", "--json"],
        &["list", "--session", "Session1"],
        &["doctor", "--undo"],
        &["doctor", "now"],
        &["list", "--root", "/image"],
    ] {
        assert!(words(wrong).is_err(), "{wrong:?} was taken");
    }
    assert_eq!(words(&["list", "--json"]), Ok(Control::List { json: true }));
    let root = AbsPath::new("/image").ok();
    assert_eq!(
        words(&["setup", "--method", "pam", "--undo", "--root", "/image"]),
        Ok(Control::Setup { method: Method::Pam, undo: true, dry_run: false, root })
    );
}
