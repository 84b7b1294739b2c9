//! What one side says, the other hears.

use super::*;

fn request(purpose: Purpose) -> Request {
    Request {
        purpose,
        user: "bob".to_owned(),
        service: "sshd".to_owned(),
        tty: Some("/dev/pts/3".to_owned()),
        remote_host: None,
        profile: Some("a=b\n".to_owned()),
        mode: None,
        config: Some("/etc/other.toml".to_owned()),
        remote_user: Some("alice".to_owned()),
        scripts: Scripts::Only,
        scripts_config: None,
        other_module: Some("pam_exec".to_owned()),
        words: vec!["quiet".to_owned(), "/bin/x".to_owned()],
        environment: vec!["XDG_SESSION_ID=c4".to_owned()],
        break_glass: Some("exempt".to_owned()),
    }
}

#[test]
fn what_is_said_arrives() {
    for purpose in [Purpose::Open, Purpose::Leave, Purpose::Close("Session7".to_owned())] {
        let said = request(purpose);
        assert_eq!(Request::decode(&said.encode()).unwrap(), said);
    }
    let variables = vec!["A=1".to_owned(), "B=x=y".to_owned()];
    let on_record =
        |is_watched| Some(OnRecord { user: "bob".to_owned(), name: "Session1".to_owned(), is_watched });
    for said in [
        Reply::Enter {
            way: Way::Init(Besides { ipc: true, net: true, ..Besides::default() }),
            session: on_record(true),
            environment: variables,
            shown: Vec::new(),
        },
        Reply::Enter {
            way: Way::Mounts,
            session: on_record(false),
            environment: Vec::new(),
            shown: vec!["hello".to_owned()],
        },
        Reply::Enter { way: Way::Mounts, session: None, environment: Vec::new(), shown: Vec::new() },
        Reply::Hold {
            not_found: Some("no profile".to_owned()),
            session: on_record(true).unwrap(),
            environment: vec!["A=1".to_owned()],
            shown: Vec::new(),
        },
        Reply::Busy(20),
        Reply::Stay("already there".to_owned()),
        Reply::NotFound("no profile".to_owned()),
        Reply::Refused { why: "outcome=enter".to_owned(), failure: Failure::System, shown: None },
        Reply::Refused { why: "x".to_owned(), failure: Failure::Session, shown: Some(String::new()) },
        Reply::Exempt,
        Reply::Closed,
    ] {
        assert_eq!(Reply::decode(&said.encode()).unwrap(), said);
    }
}

#[test]
fn no_part_of_a_message_is_a_message() {
    let whole = request(Purpose::Open).encode();
    let mut usable = 0;
    for end in 0..whole.len() {
        usable += usize::from(Request::decode(&whole[..end]).is_ok());
    }
    // The last field is one that must be there.
    assert_eq!(usable, 0);
    assert!(Request::decode(b"version=1\0purpose=open\0user=bob\0service=sshd\0scripts=no\0").is_err());
    assert!(Reply::decode(b"").unwrap_err().contains("no message"));
}

#[test]
fn a_value_cannot_begin_a_field() {
    let sly = Request { user: "bob\0purpose=leave".to_owned(), ..request(Purpose::Open) };
    let heard = Request::decode(&sly.encode()).unwrap();
    assert_eq!((heard.purpose, heard.user.as_str()), (Purpose::Open, "bobpurpose=leave"));
}
