//! What is true of what a PAM environment says in logind's name: `pam_env` may have let the user write there.

use std::collections::BTreeMap;

use crate::model::path::AbsPath;

/// Where logind and elogind keep what libsystemd's `sd_session_*` reads: `NAME=value`, a line each.
const SESSIONS: &str = "/run/systemd/sessions";
/// The facts that are logind's to say, and its names for them.
const FACTS: [(&str, &str); 4] = [("type", "TYPE"), ("class", "CLASS"), ("seat", "SEAT"), ("vtnr", "VTNR")];

/// The types of sessions: whichever it is, it says nothing that a script could come to harm by.
const TYPES: [&str; 6] = ["unspecified", "tty", "x11", "wayland", "mir", "web"];

/// Leaves of `facts` what logind says itself of the session that they name, if that is led by `leader` and is a session of
/// `uid`'s; and the runtime directory if it is the user's.
pub fn keep_what_logind_says(facts: &mut BTreeMap<String, String>, uid: u32, leader: i32) {
    let runtime = format!("/run/user/{uid}");
    if facts.get("runtime-dir").is_some_and(|told| *told != runtime) {
        facts.remove("runtime-dir");
    }
    if facts.get("type").is_some_and(|told| !TYPES.contains(&told.as_str())) {
        facts.remove("type");
    }
    for fact in ["class", "seat", "vtnr"] {
        facts.remove(fact);
    }
    let Some(id) = facts.remove("xdg-id") else { return };
    if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return;
    }
    let file = AbsPath::new(&format!("{SESSIONS}/{id}"));
    if let Some(text) = file.ok().and_then(|file| super::read_text(&file)) {
        facts.extend(said(&text, &id, uid, leader));
    }
}

fn said(text: &str, id: &str, uid: u32, leader: i32) -> BTreeMap<String, String> {
    let lines: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let is = |name: &str, wanted: &str| lines.get(name) == Some(&wanted);
    if !is("UID", &uid.to_string()) || !is("LEADER", &leader.to_string()) {
        return BTreeMap::new();
    }
    let facts = FACTS.into_iter().filter_map(|(fact, name)| Some((fact, *lines.get(name)?)));
    facts.chain([("xdg-id", id)]).map(|(fact, value)| (fact.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_of_somebody_else_is_nobodys_word() {
        let text = "# private\nUID=1001\nUSER=bob\nTYPE=tty\nCLASS=user\nSEAT=seat0\nVTNR=2\nLEADER=77\n";
        let facts = said(text, "c4", 1001, 77);
        assert_eq!((facts["xdg-id"].as_str(), facts["class"].as_str(), facts.len()), ("c4", "user", 5));
        assert!(said(text, "c4", 1002, 77).is_empty() && said(text, "c4", 1001, 78).is_empty());
        assert!(said("", "c4", 0, 0).is_empty());
    }

    #[test]
    fn what_a_user_can_have_written_is_left_out() {
        let told = [
            ("xdg-id", "../../../etc/passwd"),
            ("class", "background"),
            ("vtnr", "../sda"),
            ("runtime-dir", "/etc"),
            ("service", "sshd"),
        ];
        let mut facts = told.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        keep_what_logind_says(&mut facts, 1001, 77);
        assert_eq!(facts.into_keys().collect::<Vec<_>>(), ["service"]);
        let mut facts = BTreeMap::from([("runtime-dir".to_owned(), "/run/user/1001".to_owned())]);
        keep_what_logind_says(&mut facts, 1001, 77);
        assert_eq!(facts.len(), 1);
    }
}
