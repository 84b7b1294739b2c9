//! logind, as far as anybody here can tell.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_core::Stream;
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream, ObjectPath, Str, Variant, connection};

use super::Bus;

const NAME: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";

/// A session, with the properties that it has.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Its user's number.
    pub uid: u32,
    /// The process that logged in.
    pub leader: u32,
    /// Properties that are texts.
    pub texts: BTreeMap<&'static str, String>,
}

impl Session {
    /// One of bob's.
    pub fn new(id: &str, leader: u32) -> Self {
        let texts = [("Id", id), ("Name", "bob"), ("Class", "user"), ("State", "active")];
        let texts = texts.map(|(name, value)| (name, value.to_owned())).into();
        Self { id: id.to_owned(), uid: 1000, leader, texts }
    }

    /// With another property.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.texts.insert(name, value.to_owned());
        self
    }

    fn path(&self) -> String {
        // As logind does it: what is not a letter is written as a number.
        let escaped: String = self.id.chars().map(|sign| format!("_{:02x}", u32::from(sign))).collect();
        format!("{PATH}/session/{escaped}")
    }

    fn properties(&self) -> BTreeMap<&'static str, Variant<'static>> {
        let path = ObjectPath::try_from("/").unwrap().into_owned();
        let seat = self.texts.get("Seat").cloned().unwrap_or_default();
        let texts = self.texts.iter().filter(|(name, _)| **name != "Seat");
        let mut all: BTreeMap<&'static str, Variant<'static>> =
            texts.map(|(name, value)| (*name, Variant::Str(Str::from(value.clone())))).collect();
        all.insert("User", Variant::from((self.uid, path.clone())));
        all.insert("Seat", Variant::from((seat, path)));
        all.insert("Leader", Variant::U32(self.leader));
        all.insert("VTNr", Variant::U32(if self.texts.contains_key("TTY") { 3 } else { 0 }));
        all.insert("Remote", Variant::Bool(true));
        all.insert("Timestamp", Variant::U64(1));
        all
    }
}

/// All sessions, which outlive a logind that is restarted.
pub type Table = Arc<Mutex<BTreeMap<String, Session>>>;

/// logind, for as long as it is not dropped.
#[derive(Debug)]
pub struct Logind {
    connection: Connection,
    table: Table,
}

impl Logind {
    /// A logind without sessions.
    pub fn start(bus: &Bus) -> Self {
        Self::resume(bus, Table::default())
    }

    /// One that goes on with these.
    pub fn resume(bus: &Bus, table: Table) -> Self {
        let connection = connect(bus);
        let server = (connection.clone(), Arc::clone(&table));
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || zbus::block_on(serve(server.0, server.1, ready)));
        is_ready.recv().unwrap();
        zbus::block_on(connection.request_name(NAME)).unwrap();
        Self { connection, table }
    }

    /// The sessions, to go on with.
    pub fn table(&self) -> Table {
        Arc::clone(&self.table)
    }

    /// A session begins. Nobody is told.
    pub fn insert(&self, session: Session) {
        self.table.lock().unwrap().insert(session.id.clone(), session);
    }

    /// A session begins.
    pub fn begin(&self, session: Session) {
        let signal = (session.id.clone(), session.path());
        self.insert(session);
        emit(&self.connection, "SessionNew", &signal.0, &signal.1);
    }

    /// A session is said to have begun, and is over before anybody can ask for it.
    pub fn begin_without_object(&self, id: &str) {
        emit(&self.connection, "SessionNew", id, &Session::new(id, 0).path());
    }

    /// A session is over, with all its processes.
    pub fn end(&self, id: &str) {
        let session = self.table.lock().unwrap().remove(id).unwrap();
        emit(&self.connection, "SessionRemoved", id, &session.path());
    }

    /// It ends, and whoever asks for it meanwhile is not answered.
    pub fn stop(self) {
        zbus::block_on(self.connection.close()).unwrap();
    }
}

/// Somebody on the bus.
pub fn connect(bus: &Bus) -> Connection {
    let address = bus.address();
    zbus::block_on(connection::Builder::address(address.as_str()).build()).unwrap()
}

/// Sends a signal to everybody who wants it.
pub fn emit(connection: &Connection, member: &str, id: &str, path: &str) {
    let body = (id, ObjectPath::try_from(path).unwrap());
    zbus::block_on(connection.emit_signal(None::<&str>, PATH, MANAGER, member, &body)).unwrap();
}

/// Sends a signal to somebody who need not want it.
pub fn emit_to(connection: &Connection, to: &str, member: &str, id: &str, path: &str) {
    let body = (id, ObjectPath::try_from(path).unwrap());
    zbus::block_on(connection.emit_signal(Some(to), PATH, MANAGER, member, &body)).unwrap();
}

/// All connections of the bus by their unique names, but this one.
pub fn others(connection: &Connection) -> Vec<String> {
    let own = connection.unique_name().unwrap().to_string();
    let call = connection.call_method(
        Some("org.freedesktop.DBus"),
        "/",
        Some("org.freedesktop.DBus"),
        "ListNames",
        &(),
    );
    let names: Vec<String> = zbus::block_on(call).unwrap().body().deserialize().unwrap();
    names.into_iter().filter(|name| name.starts_with(':') && *name != own).collect()
}

async fn serve(connection: Connection, table: Table, ready: std::sync::mpsc::Sender<()>) {
    let mut stream = MessageStream::from(&connection);
    ready.send(()).unwrap();
    while let Some(Ok(message)) = poll_fn(|context| Pin::new(&mut stream).poll_next(context)).await {
        if message.message_type() == Type::MethodCall {
            answer(&connection, &table, &message).await;
        }
    }
}

/// The session whose object this is.
fn id_of(path: &str) -> Option<String> {
    let escaped = path.rsplit('/').next()?.split('_').skip(1);
    escaped.map(|code| char::from_u32(u32::from_str_radix(code, 16).ok()?)).collect()
}

async fn answer(connection: &Connection, table: &Table, message: &Message) {
    let header = message.header();
    let path = header.path().unwrap().to_string();
    // Whoever asked may be gone.
    let _ = match header.member().unwrap().as_str() {
        "ListSessions" => {
            let all: Vec<Session> = table.lock().unwrap().values().cloned().collect();
            let all: Vec<_> = all
                .iter()
                .map(|session| {
                    let path = ObjectPath::try_from(session.path()).unwrap().into_owned();
                    (session.id.clone(), session.uid, "bob", "", path)
                })
                .collect();
            connection.reply(&header, &all).await
        }
        "GetAll" => {
            let found = id_of(&path).and_then(|id| table.lock().unwrap().get(&id).cloned());
            match found {
                Some(session) => connection.reply(&header, &session.properties()).await,
                None => {
                    let name = "org.freedesktop.DBus.Error.UnknownObject";
                    connection.reply_error(&header, name, &format!("Unknown object '{path}'.")).await
                }
            }
        }
        other => panic!("nobody asks logind for {other}"),
    };
}
