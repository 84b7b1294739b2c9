//! The connection with logind or elogind. It lives in a thread of its own, since a D-Bus library wants to wait for its
//! socket by itself; what it learns goes to the loop of the daemon through a queue.
//!
//! Anybody on a system bus may send a signal to anybody. So only those are listened to whose sender owns logind's name
//! at that moment, and the properties of a session are asked of that owner and of nobody else.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_core::Stream;
use zbus::message::Type;
use zbus::names::OwnedUniqueName;
use zbus::{Connection, Message, MessageStream, ObjectPath, OwnedObjectPath, Variant, connection};

use crate::error::{Error, Result, say};
use crate::session::{Properties, Property, Session, SessionId};

const LOGIND: &str = "org.freedesktop.login1";
const LOGIND_PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";
const DBUS: &str = "org.freedesktop.DBus";
const DBUS_PATH: &str = "/org/freedesktop/DBus";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// How long an answer may take: as long as others wait for one.
const PATIENCE: Duration = Duration::from_secs(25);
/// Between attempts to connect. Each one waits twice as long as the one before it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// A few calls deep.
const STACK: usize = 512 * 1024;

/// What happens to sessions of logind.
#[derive(Debug)]
pub enum Event {
    /// One began.
    New(Session),
    /// One was there when they were listed.
    Present(Session),
    /// These were all, whether they could be described or not.
    Listed(HashSet<SessionId>),
    /// logind does not list it any more.
    Removed(SessionId),
    /// The bus is there, and nobody on it is logind.
    Nobody,
    /// There is no connection.
    Unreachable,
}

/// Where events go: a queue, and a descriptor that wakes up whoever reads it.
///
/// Should the thread end, which only an error in its code makes it do, the queue is closed first and then the bell
/// rings: whoever reads it is not left waiting for news that cannot come.
#[derive(Debug)]
pub struct Outlet {
    queue: SyncSender<Event>,
    bell: Bell,
}

/// An eventfd.
#[derive(Debug)]
struct Bell(Arc<OwnedFd>);

impl Bell {
    fn ring(&self) {
        // It fails when it rings already.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.ring();
    }
}

impl Outlet {
    /// Events go into the queue, and eight bytes into the descriptor of an eventfd.
    pub fn new(queue: SyncSender<Event>, bell: Arc<OwnedFd>) -> Self {
        Self { queue, bell: Bell(bell) }
    }

    fn send(&self, event: Event) {
        // It fails only when the daemon is ending. When the queue is full it waits; the bell has rung for what is in
        // it.
        let _ = self.queue.send(event);
        self.bell.ring();
    }
}

/// Starts the thread. It never ends.
pub fn start(address: Option<String>, outlet: Outlet) -> Result<()> {
    std::thread::Builder::new()
        .name("bus".to_owned())
        .stack_size(STACK)
        .spawn(move || attend(address.as_deref(), &outlet))
        .map(drop)
        .map_err(|error| Error::new("clone(a thread for the bus)", error))
}

fn attend(address: Option<&str>, outlet: &Outlet) {
    let mut pause = FIRST_PAUSE;
    let mut said = String::new();
    loop {
        let began = Instant::now();
        let error = match zbus::block_on(listen(address, outlet)) {
            Err(error) => error.chain(),
            Ok(never) => match never {},
        };
        // A bus that is away for an hour is said once, not once for each attempt.
        if error != said {
            say(format!("no sessions of logind for now: {error}"));
            said = error;
        }
        outlet.send(Event::Unreachable);
        if began.elapsed() > LAST_PAUSE {
            pause = FIRST_PAUSE;
            said.clear();
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Connects, lists, and hands on what happens, for as long as the connection lasts.
async fn listen(address: Option<&str>, outlet: &Outlet) -> Result<Infallible> {
    let builder = match address {
        Some(address) => connection::Builder::address(address),
        None => connection::Builder::system(),
    };
    let connection =
        builder.method_timeout(PATIENCE).build().await.map_err(|error| {
            Error::new(format!("connect({})", address.unwrap_or("the system bus")), error)
        })?;
    let stream = MessageStream::from(&connection);
    let mut bus = Bus { connection, stream, backlog: VecDeque::new(), owner: None, changes: 0 };
    for rule in [
        format!("type='signal',sender='{LOGIND}',path='{LOGIND_PATH}',interface='{MANAGER}'"),
        format!("type='signal',sender='{DBUS}',interface='{DBUS}',member='NameOwnerChanged',arg0='{LOGIND}'"),
    ] {
        bus.call((DBUS, DBUS_PATH), DBUS, "AddMatch", Some(&rule)).await?;
    }
    // What changes from here on comes as a signal.
    bus.find_owner().await?;
    bus.list(outlet).await?;
    loop {
        let signal = bus.next().await?;
        bus.take(signal, outlet).await?;
    }
}

/// A signal that means something.
#[derive(Debug)]
enum Signal {
    /// logind's name has another owner, or none.
    Owner,
    New(SessionId, OwnedObjectPath),
    Removed(SessionId),
}

/// A connection that goes on reading while it waits for an answer: signals that come meanwhile would otherwise fill the
/// library's queue, and the answer behind them would never be read.
struct Bus {
    connection: Connection,
    stream: MessageStream,
    /// What came in the meantime.
    backlog: VecDeque<Signal>,
    /// Who owns logind's name, by the last signal that was read.
    owner: Option<OwnedUniqueName>,
    /// How often it was said to have changed.
    changes: u64,
}

impl Bus {
    /// The next signal.
    async fn next(&mut self) -> Result<Signal> {
        if let Some(signal) = self.backlog.pop_front() {
            return Ok(signal);
        }
        loop {
            let next = poll_fn(|context| Pin::new(&mut self.stream).poll_next(context)).await;
            match next {
                Some(Ok(message)) => {
                    if let Some(signal) = self.read(&message) {
                        return Ok(signal);
                    }
                }
                Some(Err(error)) => return Err(Error::new("read(bus)", error)),
                None => return Err(Error::plain("the bus closed the connection")),
            }
        }
    }

    /// What a message says, if it is a signal of somebody who is listened to. The bus itself writes down the sender of
    /// every message. Who owns logind's name is known from the signals before it.
    fn read(&mut self, message: &Message) -> Option<Signal> {
        if message.message_type() != Type::Signal {
            return None;
        }
        let header = message.header();
        let sender = header.sender()?.as_str();
        let (interface, member) = (header.interface()?.as_str(), header.member()?.as_str());
        let body = message.body();
        match (interface, member) {
            (DBUS, "NameOwnerChanged") if sender == DBUS => {
                let (name, _, owner) = body.deserialize::<(&str, &str, &str)>().ok()?;
                if name != LOGIND {
                    return None;
                }
                self.owner = OwnedUniqueName::try_from(owner).ok();
                self.changes += 1;
                Some(Signal::Owner)
            }
            (MANAGER, "SessionNew" | "SessionRemoved")
                if self.owner.as_deref().is_some_and(|o| o == sender) =>
            {
                let (id, path) = body.deserialize::<(&str, ObjectPath<'_>)>().ok()?;
                let id = known_id(id)?;
                Some(match member {
                    "SessionNew" => Signal::New(id, path.into()),
                    _ => Signal::Removed(id),
                })
            }
            _ => None,
        }
    }

    /// Calls a method that takes a text, or nothing.
    async fn call(
        &mut self,
        to: (&str, &str),
        interface: &str,
        method: &str,
        text: Option<&str>,
    ) -> Result<Message> {
        let (name, path) = to;
        let connection = self.connection.clone();
        let call = async move {
            match text {
                Some(text) => connection.call_method(Some(name), path, Some(interface), method, &text).await,
                None => connection.call_method(Some(name), path, Some(interface), method, &()).await,
            }
        };
        let mut call = pin!(call);
        let answer = poll_fn(|context| {
            loop {
                if let Poll::Ready(answer) = call.as_mut().poll(context) {
                    return Poll::Ready(answer);
                }
                match Pin::new(&mut self.stream).poll_next(context) {
                    Poll::Ready(Some(Ok(message))) => {
                        let signal = self.read(&message);
                        self.backlog.extend(signal);
                    }
                    // The call fails by itself when the connection has ended.
                    Poll::Ready(_) | Poll::Pending => return Poll::Pending,
                }
            }
        });
        answer.await.map_err(|error| Error::new(format!("{interface}.{method}({text:?}) of {path}"), error))
    }

    /// Learns who owns logind's name now. Nobody is started for it: where logind is not running, nobody is logged in.
    async fn find_owner(&mut self) -> Result<()> {
        let before = self.changes;
        let answer = self.call((DBUS, DBUS_PATH), DBUS, "GetNameOwner", Some(LOGIND)).await;
        // A change that was read while the answer was waited for is the newer news.
        if self.changes == before {
            self.owner = match answer {
                Ok(answer) => {
                    let body = answer.body();
                    let owner = body.deserialize::<&str>().ok();
                    owner.and_then(|owner| OwnedUniqueName::try_from(owner).ok())
                }
                Err(error) if is_named(&error, "NameHasNoOwner") => None,
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }

    /// Tells of the sessions that there are, or that nobody is there who would know.
    async fn list(&mut self, outlet: &Outlet) -> Result<()> {
        let Some(owner) = self.owner.clone() else {
            outlet.send(Event::Nobody);
            return Ok(());
        };
        let before = self.changes;
        let answer = match self.call((&owner, LOGIND_PATH), MANAGER, "ListSessions", None).await {
            Ok(answer) => answer,
            // logind ended meanwhile; the next one is asked when it comes.
            Err(_) if self.changes != before => return Ok(()),
            Err(error) => return Err(error),
        };
        let body = answer.body();
        let sessions = body
            .deserialize::<Vec<(&str, u32, &str, &str, ObjectPath<'_>)>>()
            .map_err(|error| Error::new(format!("{MANAGER}.ListSessions: the answer"), error))?;
        let mut ids = HashSet::new();
        for (id, _, _, _, path) in sessions {
            let Some(id) = known_id(id) else { continue };
            if let Some(session) = self.describe(id.clone(), &path).await {
                outlet.send(Event::Present(session));
            }
            if self.changes != before {
                return Ok(());
            }
            ids.insert(id);
        }
        outlet.send(Event::Listed(ids));
        Ok(())
    }

    async fn take(&mut self, signal: Signal, outlet: &Outlet) -> Result<()> {
        match signal {
            // Said by the last of several changes; the ones before it are history.
            Signal::Owner if self.owner.is_some() => return self.list(outlet).await,
            Signal::Owner => {}
            Signal::New(id, path) => {
                if let Some(session) = self.describe(id, &path).await {
                    outlet.send(Event::New(session));
                }
            }
            Signal::Removed(id) => outlet.send(Event::Removed(id)),
        }
        Ok(())
    }

    /// Asks for the properties of a session, once.
    async fn describe(&mut self, id: SessionId, path: &ObjectPath<'_>) -> Option<Session> {
        let owner = self.owner.clone()?;
        let answer = match self.call((&owner, path.as_str()), PROPERTIES, "GetAll", Some(SESSION)).await {
            Ok(answer) => answer,
            // It was over before it could be asked: nobody has been told of it, and nobody has to be.
            Err(error) if is_named(&error, "UnknownObject") => return None,
            Err(error) => {
                say(format!("session {id} of logind is not watched: {}", error.chain()));
                return None;
            }
        };
        let body = answer.body();
        let described = body
            .deserialize::<HashMap<&str, Variant<'_>>>()
            .map_err(|error| error.to_string())
            .and_then(|properties| Session::of(id.clone(), &used(properties)));
        described.map_err(|why| say(format!("session {id} of logind is not watched: {why}"))).ok()
    }
}

/// An id, or a word about why it is none.
fn known_id(id: &str) -> Option<SessionId> {
    let known = SessionId::new(id);
    if known.is_none() {
        say(format!("{id:?} is no id of a session; it is not watched"));
    }
    known
}

/// Those properties whose types are used here.
fn used(properties: HashMap<&str, Variant<'_>>) -> Properties {
    fn property(value: &Variant<'_>) -> Option<Property> {
        match value {
            Variant::Str(text) => Some(Property::Text(text.as_str().to_owned())),
            Variant::U32(number) => Some(Property::Number(*number)),
            // A user is a number and a path, a seat a name and a path.
            Variant::Structure(structure) => structure.fields().first().and_then(property),
            _ => None,
        }
    }
    let used = properties.iter().filter_map(|(name, value)| Some(((*name).to_owned(), property(value)?)));
    used.collect()
}

/// Is the cause an error of this name, without `org.freedesktop.DBus.Error.`?
fn is_named(error: &Error, name: &str) -> bool {
    let Some(cause) = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<zbus::Error>())
    else {
        return false;
    };
    match cause {
        zbus::Error::MethodError(found, _, _) => found.as_str().rsplit('.').next() == Some(name),
        zbus::Error::FDO(error) => {
            use zbus::DBusError;
            error.name().as_str().rsplit('.').next() == Some(name)
        }
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
mod tests {
    use super::*;
    use rustix::event::{EventfdFlags, eventfd};
    use std::sync::mpsc::{TryRecvError, sync_channel};

    #[test]
    fn an_outlet_that_is_dropped_closes_the_queue_before_it_rings() {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap());
        let (queue, events) = sync_channel(1);
        let outlet = Outlet::new(queue, Arc::clone(&bell));
        std::thread::spawn(move || drop(outlet));
        rustix::io::read(&*bell, &mut [0_u8; 8]).unwrap();
        assert_eq!(events.try_recv().unwrap_err(), TryRecvError::Disconnected);
    }

    #[test]
    fn properties_are_taken_for_what_they_are() {
        let path = ObjectPath::try_from("/").unwrap();
        let all = used(HashMap::from([
            ("Name", Variant::from("bob")),
            ("User", Variant::from((7_u32, path.clone()))),
            ("Seat", Variant::from(("seat0", path))),
            ("Remote", Variant::from(true)),
        ]));
        assert_eq!(all.get("Name"), Some(&Property::Text("bob".to_owned())));
        assert_eq!(all.get("User"), Some(&Property::Number(7)));
        assert_eq!(all.get("Seat"), Some(&Property::Text("seat0".to_owned())));
        assert_eq!(all.len(), 3);
    }
}
