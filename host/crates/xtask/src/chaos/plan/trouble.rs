//! What can go wrong. Pure.

use super::super::random::Random;

/// A server that the program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Server {
    Redis,
    Broker,
    Api,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Trouble {
    /// The program is killed, and starts again after the time.
    Kill,
    /// The same, and meanwhile something happens to the files of its stores.
    KillAndDamage(Damage),
    /// It is killed, starts, and is killed again before it has said anything.
    KillTwice,
    /// So many milliseconds after it has begun to answer it is killed, and starts again at once.
    KillLater(u64),
    /// So many milliseconds after it has been started it is killed, wherever it is with starting, and starts again.
    KillStarting(u64),
    /// It is asked to end, and starts again.
    Stop,
    /// It stands still.
    Freeze,
    /// The server stands still.
    Pause(Server),
    /// The server is killed, and starts again after the time.
    KillServer(Server),
    /// The connections to it are cut, once.
    Cut(Server),
    /// It takes no connections.
    Refuse(Server),
    /// Nothing comes through to it, and nothing back.
    Hold(Server),
    /// Each piece of what is said takes so many milliseconds.
    Slow(Server, u64),
    /// The API server breaks off its watches.
    BreakWatches,
    /// It forgets its history; a real one is killed for that, and starts again.
    Compact,
    /// It answers with this status.
    Refusals(u16),
    /// The disk with the state is full.
    FullState,
    /// The disk with the files that are written is full.
    FullOutput,
    /// The disk with the state breaks down: it cannot be written. Then the program is ended, asked or not, and starts again with a disk that was
    /// mended.
    ReadOnlyState(Ending),
    /// The disk with the files that are written breaks down, and is mended while the program runs.
    ReadOnlyOutput,
    /// That of the sink that may drop is full.
    FullSpill,
}

/// How the program is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Ending {
    Asked,
    Killed,
}

/// What happens to the files of stores while the program is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Damage {
    /// A bit is another one.
    Flip,
    /// The end is missing.
    Cut,
    /// There is something behind the end.
    Append,
    /// The note of what is done has gone.
    NoPlace,
}

impl Trouble {
    pub(in super::super) fn random(random: &mut Random) -> Self {
        let sink = random.pick(Server::Redis, &[Server::Broker]);
        let server = random.pick(Server::Redis, &[Server::Broker, Server::Api]);
        match random.between(0, 31) {
            0..=5 => Self::Kill,
            6..=9 => Self::KillAndDamage(random.pick(Damage::Flip, &[Damage::Cut, Damage::Append, Damage::NoPlace])),
            10 | 11 => Self::KillTwice,
            12..=14 => Self::Stop,
            15 => Self::Freeze,
            16 | 17 => Self::Pause(sink),
            18 | 19 => Self::KillServer(sink),
            20 | 21 => Self::Cut(server),
            22 | 23 => Self::Refuse(server),
            24 | 25 => Self::Hold(server),
            26 => Self::Slow(server, random.between(1, 50)),
            27 => Self::BreakWatches,
            28 => Self::Compact,
            29 => Self::Refusals(random.pick(500, &[503, 429, 403])),
            30 => Self::FullState,
            _ => Self::FullOutput,
        }
    }

    /// What happens in place of it where the API server is a real one, which cannot be made to say anything.
    pub(super) fn of_a_real_api_server(self, random: &mut Random) -> Self {
        match self {
            Self::BreakWatches => Self::Cut(Server::Api),
            Self::Refusals(_) => Self::Pause(Server::Api),
            Self::Pause(_) if random.percent(40) => Self::Pause(Server::Api),
            Self::KillServer(_) if random.percent(40) => Self::KillServer(Server::Api),
            other => other,
        }
    }

    /// Whether another run of the program begins with it.
    pub(super) fn ends_the_program(self) -> bool {
        matches!(
            self,
            Self::Kill | Self::KillAndDamage(_) | Self::KillTwice | Self::KillLater(_) | Self::KillStarting(_) | Self::Stop
        )
    }

    /// Whether it is about the disk with the state or that with what is written.
    pub(super) fn is_of_a_disk(self) -> bool {
        matches!(self, Self::FullState | Self::FullOutput)
    }

    /// One word, to count by.
    pub(in super::super) fn name(self) -> &'static str {
        match self {
            Self::Kill | Self::KillLater(_) => "kill",
            Self::KillAndDamage(Damage::Flip) => "kill and flip a bit",
            Self::KillAndDamage(Damage::Cut) => "kill and cut a file",
            Self::KillAndDamage(Damage::Append) => "kill and append to a file",
            Self::KillAndDamage(Damage::NoPlace) => "kill and remove the place",
            Self::KillTwice | Self::KillStarting(_) => "kill at start-up",
            Self::Stop => "stop",
            Self::Freeze => "freeze",
            Self::Pause(Server::Api) => "pause the API server",
            Self::Pause(_) => "pause a server",
            Self::KillServer(Server::Api) => "kill the API server",
            Self::KillServer(_) => "kill a server",
            Self::Cut(_) => "cut",
            Self::Refuse(_) => "refuse",
            Self::Hold(_) => "hold",
            Self::Slow(..) => "slow",
            Self::BreakWatches => "break watches",
            Self::Compact => "compact",
            Self::Refusals(_) => "refuse requests",
            Self::FullState => "full disk of the state",
            Self::FullOutput => "full disk of the output",
            Self::ReadOnlyState(_) => "broken disk of the state",
            Self::ReadOnlyOutput => "broken disk of the output",
            Self::FullSpill => "full disk of a sink that may drop",
        }
    }
}
