//! The service manager, as far as the daemon speaks with it.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// What it was told, and what was left with it. It forgets nothing by itself.
#[derive(Debug, Default)]
struct Heard {
    messages: Vec<String>,
    store: Vec<(String, OwnedFd)>,
}

/// It.
#[derive(Debug)]
pub struct Manager {
    heard: Arc<Mutex<Heard>>,
}

impl Manager {
    /// Listens at this path, in a thread that ends with the test program.
    pub fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let shared = Arc::clone(&heard);
        std::thread::spawn(move || {
            loop {
                hear(&socket, &shared);
            }
        });
        Self { heard }
    }

    /// Everything that was said.
    pub fn messages(&self) -> Vec<String> {
        self.heard.lock().unwrap().messages.clone()
    }

    /// The names of what is in the store.
    pub fn names(&self) -> Vec<String> {
        self.heard.lock().unwrap().store.iter().map(|(name, _)| name.clone()).collect()
    }

    /// What is in the store, for the next daemon; a copy stays.
    pub fn store(&self) -> Vec<(String, OwnedFd)> {
        let heard = self.heard.lock().unwrap();
        heard.store.iter().map(|(name, descriptor)| (name.clone(), descriptor.try_clone().unwrap())).collect()
    }
}

fn hear(socket: &UnixDatagram, heard: &Mutex<Heard>) {
    let mut bytes = [0_u8; 1024];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let length = {
        let mut into = [IoSliceMut::new(&mut bytes)];
        recvmsg(socket, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap().bytes
    };
    let message = String::from_utf8(bytes[..length].to_vec()).unwrap();
    let descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptors: Vec<OwnedFd> = descriptors.flatten().collect();
    let mut heard = heard.lock().unwrap();
    let name = message.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or_default();
    if message.contains("FDSTORE=1") {
        heard.store.extend(descriptors.into_iter().map(|descriptor| (name.to_owned(), descriptor)));
    }
    if message.contains("FDSTOREREMOVE=1") {
        heard.store.retain(|(known, _)| known != name);
    }
    heard.messages.push(message);
}
