//! Each library as the queue of one sink: numbered entries, taken in at the end, given back from the start. Each is set up as small and as
//! safe as it can be: nothing is handed out of which its check sums, where it has some, say that it has changed.

use std::num::NonZeroU32;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use redb::{ReadableDatabase as _, ReadableTable as _};
use sluicebox_contract::Appended;
use sluicebox_store::{QueueSettings, Sync, WhenFull};

/// Entries that are taken in and given back together.
pub const BATCH: usize = 64;
/// What the queue may hold, where it can be told: 4 MiB.
const BOUND: u64 = 4 << 20;

/// A queue on the disk.
pub trait Candidate {
    /// Takes these in, with numbers that follow the last ones. They survive the end of the program from then on; the system writes them to the
    /// disk when it likes.
    fn put(&mut self, entries: &[Vec<u8>]) -> Result<()>;

    /// The oldest entries, `BATCH` at most, which stay.
    fn look(&mut self) -> Result<Vec<Vec<u8>>>;

    /// Removes as many as were looked at last.
    fn remove(&mut self) -> Result<()>;

    /// Everything onto the disk, and closed.
    fn close(self: Box<Self>) -> Result<()>;
}

/// Opens the queue of this name in the directory, or makes it.
pub fn open(name: &str, directory: &Path) -> Result<Box<dyn Candidate>> {
    Ok(match name {
        "store" => Box::new(Store::open(directory)?),
        "redb" => Box::new(Redb::open(directory)?),
        "fjall" => Box::new(Fjall::open(directory)?),
        "SQLite" => Box::new(Sqlite::open(directory)?),
        _ => bail!("no library has the name `{name}`"),
    })
}

struct Store {
    queue: sluicebox_store::Queue,
    upto: u64,
}

impl Store {
    fn open(directory: &Path) -> Result<Self> {
        let settings = QueueSettings { bytes: BOUND, when_full: WhenFull::Block, sync: Sync::Never };
        let (queue, _recovered) = sluicebox_store::Queue::open(directory, settings)?;
        Ok(Self { queue, upto: 0 })
    }
}

impl Candidate for Store {
    fn put(&mut self, entries: &[Vec<u8>]) -> Result<()> {
        for entry in entries {
            if !matches!(self.queue.append(NonZeroU32::MIN, entry)?, Appended::Kept(_)) {
                bail!("it is full");
            }
        }
        Ok(self.queue.flush()?)
    }

    fn look(&mut self) -> Result<Vec<Vec<u8>>> {
        let records = self.queue.read(BATCH, usize::MAX)?;
        self.upto = records.last().map_or(self.upto, sluicebox_contract::Record::next);
        Ok(records.into_iter().map(|record| record.payload.to_vec()).collect())
    }

    fn remove(&mut self) -> Result<()> {
        Ok(self.queue.done_before(self.upto)?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.queue.close()?)
    }
}

const TABLE: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("entries");

struct Redb {
    database: redb::Database,
    next: u64,
    looked_at: Vec<u64>,
}

impl Redb {
    fn open(directory: &Path) -> Result<Self> {
        let database = redb::Builder::new().set_cache_size(1 << 20).create(directory.join("queue.redb"))?;
        let transaction = database.begin_write()?;
        let next = transaction.open_table(TABLE)?.last()?.map_or(0, |(key, _)| key.value() + 1);
        transaction.commit()?;
        Ok(Self { database, next, looked_at: Vec::new() })
    }
}

impl Candidate for Redb {
    fn put(&mut self, entries: &[Vec<u8>]) -> Result<()> {
        // `Durability::None` would leave it in the memory of the program.
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for entry in entries {
                table.insert(self.next, entry.as_slice())?;
                self.next += 1;
            }
        }
        Ok(transaction.commit()?)
    }

    fn look(&mut self) -> Result<Vec<Vec<u8>>> {
        self.looked_at.clear();
        let mut found = Vec::new();
        for entry in self.database.begin_read()?.open_table(TABLE)?.iter()?.take(BATCH) {
            let (key, value) = entry?;
            self.looked_at.push(key.value());
            found.push(value.value().to_vec());
        }
        Ok(found)
    }

    fn remove(&mut self) -> Result<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for key in self.looked_at.drain(..) {
                table.remove(key)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Fjall {
    database: fjall::Database,
    entries: fjall::Keyspace,
    next: u64,
    looked_at: Vec<fjall::UserKey>,
}

impl Fjall {
    fn open(directory: &Path) -> Result<Self> {
        let database =
            fjall::Database::builder(directory).worker_threads(1).cache_size(1 << 20).max_journaling_size(64 << 20).open()?;
        let options = || fjall::KeyspaceCreateOptions::default().max_memtable_size(1 << 20);
        let entries = database.keyspace("entries", options)?;
        let next = match entries.last_key_value() {
            Some(last) => u64::from_be_bytes(last.key()?.as_ref().try_into().context("a key of another length")?) + 1,
            None => 0,
        };
        Ok(Self { database, entries, next, looked_at: Vec::new() })
    }
}

impl Candidate for Fjall {
    fn put(&mut self, entries: &[Vec<u8>]) -> Result<()> {
        let mut batch = self.database.batch();
        for entry in entries {
            batch.insert(&self.entries, self.next.to_be_bytes(), entry.as_slice());
            self.next += 1;
        }
        batch.commit()?;
        Ok(self.database.persist(fjall::PersistMode::Buffer)?)
    }

    fn look(&mut self) -> Result<Vec<Vec<u8>>> {
        self.looked_at.clear();
        let mut found = Vec::new();
        for entry in self.entries.iter().take(BATCH) {
            let (key, value) = entry.into_inner()?;
            self.looked_at.push(key);
            found.push(value.to_vec());
        }
        Ok(found)
    }

    fn remove(&mut self) -> Result<()> {
        let mut batch = self.database.batch();
        for key in self.looked_at.drain(..) {
            batch.remove(&self.entries, key);
        }
        batch.commit()?;
        Ok(self.database.persist(fjall::PersistMode::Buffer)?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.persist(fjall::PersistMode::SyncAll)?)
    }
}

struct Sqlite {
    connection: rusqlite::Connection,
    looked_at: Option<i64>,
}

impl Sqlite {
    fn open(directory: &Path) -> Result<Self> {
        let connection = rusqlite::Connection::open(directory.join("queue.sqlite"))?;
        connection.execute_batch(
            "PRAGMA auto_vacuum = FULL; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -1024;
             PRAGMA wal_autocheckpoint = 64; PRAGMA cell_size_check = ON;
             CREATE TABLE IF NOT EXISTS entries (number INTEGER PRIMARY KEY AUTOINCREMENT, entry BLOB NOT NULL)",
        )?;
        Ok(Self { connection, looked_at: None })
    }
}

impl Candidate for Sqlite {
    fn put(&mut self, entries: &[Vec<u8>]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO entries (entry) VALUES (?1)")?;
            for entry in entries {
                insert.execute([entry])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn look(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut select = self.connection.prepare_cached("SELECT number, entry FROM entries ORDER BY number LIMIT ?1")?;
        let mut found = Vec::new();
        let mut rows = select.query([i64::try_from(BATCH)?])?;
        while let Some(row) = rows.next()? {
            self.looked_at = Some(row.get(0)?);
            found.push(row.get(1)?);
        }
        Ok(found)
    }

    fn remove(&mut self) -> Result<()> {
        if let Some(last) = self.looked_at.take() {
            self.connection.prepare_cached("DELETE FROM entries WHERE number <= ?1")?.execute([last])?;
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.connection.close().map_err(|(_, error)| error)?)
    }
}
