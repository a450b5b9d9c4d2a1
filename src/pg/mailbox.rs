//! Shared memory for one question and one answer at a time, between sessions and workers.

use pgrx::prelude::*;
use pgrx::{PGRXSharedMemory, PgLwLock, pg_shmem_init};

/// The most questions at once, from all sessions of the cluster.
const BOXES: usize = 64;
/// The most questions about one subscription, of one role, and about one database, so that nobody takes all boxes.
const BOXES_PER_SUBSCRIPTION: usize = 4;
const BOXES_PER_ROLE: usize = 8;
const BOXES_PER_DATABASE: usize = 32;
const TEXT: usize = 512;

static BOARD: PgLwLock<Board> = new_board();

const fn new_board() -> PgLwLock<Board> {
    // SAFETY: the name is ours alone.
    unsafe { PgLwLock::new(c"pg_herald mailbox") }
}

#[derive(Clone, Copy)]
struct Board {
    boxes: [Mail; BOXES],
    next_number: u64,
}

#[derive(Clone, Copy)]
struct Mail {
    /// 0: free.
    number: u64,
    /// The process id of the session that asked, and its role.
    asker: i32,
    role: u32,
    state: State,
    database: u32,
    about: About,
    is_success: bool,
    status: u16,
    duration_ms: f64,
    error_class: Text,
    error: Text,
    response: Text,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Asked,
    Taken,
    Answered,
}

#[derive(Clone, Copy)]
struct Text {
    length: usize,
    bytes: [u8; TEXT],
}

// SAFETY: plain values without pointers, behind a lock.
unsafe impl PGRXSharedMemory for Board {}

const FREE: Mail = Mail {
    number: 0,
    asker: 0,
    role: 0,
    state: State::Asked,
    database: 0,
    about: About {
        subscription: 0,
        event: None,
    },
    is_success: false,
    status: 0,
    duration_ms: 0.0,
    error_class: EMPTY,
    error: EMPTY,
    response: EMPTY,
};
const EMPTY: Text = Text {
    length: 0,
    bytes: [0; TEXT],
};

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    pub subscription: i64,
    /// The slot and the number of an event.
    pub event: Option<(i16, i64)>,
}

/// The worker's answer.
#[derive(Debug)]
pub struct Answer {
    pub is_success: bool,
    /// 0: none.
    pub status: u16,
    pub duration_ms: f64,
    pub error_class: String,
    pub error: String,
    pub response: String,
}

/// A question that waits for its answer; dropping it frees its box.
#[derive(Debug)]
pub struct Question(u64);

/// Requests the shared memory; called once, while the library is preloaded.
#[allow(unexpected_cfgs)]
pub fn request() {
    pg_shmem_init!(
        BOARD = Board {
            boxes: [FREE; BOXES],
            next_number: 1
        }
    );
}

/// Leaves a question for the worker of `database`. `None` if every box that this session may have is taken.
pub fn ask(database: pg_sys::Oid, about: About) -> Option<Question> {
    let mut board = BOARD.exclusive();
    let number = board.next_number;
    // SAFETY: plain reads of process-wide variables. The outer role is the caller, even inside another function.
    let (asker, role) = unsafe { (pg_sys::MyProcPid, pg_sys::GetOuterUserId().to_u32()) };
    let database = database.to_u32();
    let taken = |is_alike: &dyn Fn(&Mail) -> bool| {
        let alike = board.boxes.iter().filter(|mail| is_alike(mail));
        alike.filter(|mail| !mail.is_free()).count()
    };
    let is_of_this =
        |mail: &Mail| mail.database == database && mail.about.subscription == about.subscription;
    if taken(&is_of_this) >= BOXES_PER_SUBSCRIPTION
        || taken(&|mail| mail.role == role) >= BOXES_PER_ROLE
        || taken(&|mail| mail.database == database) >= BOXES_PER_DATABASE
    {
        return None;
    }
    let free = board.boxes.iter_mut().find(|mail| mail.is_free())?;
    *free = Mail {
        number,
        asker,
        role,
        database,
        about,
        ..FREE
    };
    board.next_number += 1;
    Some(Question(number))
}

/// Takes the new questions for the worker of `database`, with their numbers.
pub fn take(database: pg_sys::Oid) -> Vec<(u64, About)> {
    let is_new = |mail: &Mail| {
        mail.number != 0 && mail.state == State::Asked && mail.database == database.to_u32()
    };
    if !BOARD.share().boxes.iter().any(is_new) {
        return Vec::new();
    }
    let mut board = BOARD.exclusive();
    let asked = board.boxes.iter_mut().filter(|mail| is_new(mail));
    asked
        .map(|mail| {
            mail.state = State::Taken;
            (mail.number, mail.about)
        })
        .collect()
}

/// Returns whether a session still waits for the answer to this question.
pub fn is_waited_for(number: u64) -> bool {
    let board = BOARD.share();
    let is_this = |mail: &Mail| mail.number == number && !mail.is_free();
    board.boxes.iter().any(is_this)
}

/// Answers a question, unless the session that asked has gone.
pub fn answer(number: u64, answer: &Answer) {
    let mut board = BOARD.exclusive();
    if let Some(mail) = board.boxes.iter_mut().find(|mail| mail.number == number) {
        mail.is_success = answer.is_success;
        mail.status = answer.status;
        mail.duration_ms = answer.duration_ms;
        mail.error_class = Text::of(&answer.error_class);
        mail.error = Text::of(&answer.error);
        mail.response = Text::of(&answer.response);
        mail.state = State::Answered;
    }
}

impl Mail {
    /// Returns whether the box is free. A terminated session runs no destructors: its box is free, too.
    fn is_free(&self) -> bool {
        // SAFETY: looks the process up in shared memory under its own lock.
        self.number == 0 || unsafe { pg_sys::BackendPidGetProc(self.asker) }.is_null()
    }
}

impl Question {
    pub fn answer(&self) -> Option<Answer> {
        let board = BOARD.share();
        let mail = board.boxes.iter().find(|mail| mail.number == self.0)?;
        (mail.state == State::Answered).then(|| Answer {
            is_success: mail.is_success,
            status: mail.status,
            duration_ms: mail.duration_ms,
            error_class: mail.error_class.text(),
            error: mail.error.text(),
            response: mail.response.text(),
        })
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        let mut board = BOARD.exclusive();
        if let Some(mail) = board.boxes.iter_mut().find(|mail| mail.number == self.0) {
            *mail = FREE;
        }
    }
}

impl Text {
    fn of(text: &str) -> Self {
        let mut length = text.len().min(TEXT);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        let mut bytes = [0; TEXT];
        bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        Self { length, bytes }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.length.min(TEXT)]).into_owned()
    }
}
