//! What a module may use at most: the numbers, and the part of them that wasmtime asks for while a guest runs.

use std::time::Duration;

use wasmtime::ResourceLimiter;

/// Instances of core modules within one component, tables and memories: a Rust component has one to three of each, a Python one
/// about thirty.
const PARTS: usize = 256;

/// Entries of all tables together, at 16 bytes of the host's memory: an interpreter has some ten thousand functions.
const TABLE_ELEMENTS: usize = 256 * 1024;

/// The limits of one lane's module. The defaults suit a small node and modules in compiled languages; interpreters need more memory
/// and more time to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory, all memories of the component together.
    pub memory_bytes: usize,
    /// How long one call of a handler may take, or one in which state is saved or restored. Is kept to within 20 ms.
    pub call_deadline: Duration,
    /// How long the instance may take to be made and to start.
    pub start_deadline: Duration,
    /// Entries that one call may return.
    pub entries_per_call: usize,
    /// Bytes that one call may hand to the host, entries and their records together, or a saved state; packed messages also as they
    /// are when unpacked, each with its channel and its headers. The same bound holds for each line that is logged, before it is cut.
    pub output_bytes_per_call: usize,
    /// Lines that the module may log in a second, and at once after a silence.
    pub log_lines_per_second: u32,
    /// Bytes after which a logged line, or the text of an error, is cut.
    pub log_line_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            call_deadline: Duration::from_secs(1),
            start_deadline: Duration::from_secs(5),
            entries_per_call: 65_536,
            output_bytes_per_call: 8 << 20,
            log_lines_per_second: 20,
            log_line_bytes: 4096,
        }
    }
}

/// Answers wasmtime's questions, and remembers when it said no: a guest whose memory may not grow ends in a bare `unreachable`.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_limit: usize,
    memory_bytes: usize,
    /// By how much the last permitted growth grew, to be taken back when the system refuses it.
    last_growth: usize,
    table_elements: usize,
    refused: bool,
}

impl Limiter {
    pub(crate) fn new(memory_limit: usize) -> Self {
        Self { memory_limit, memory_bytes: 0, last_growth: 0, table_elements: 0, refused: false }
    }

    /// Bytes of linear memory that the instance holds.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Whether memory was refused since the last call of `forgive`.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    /// A new call begins.
    pub(crate) fn forgive(&mut self) {
        self.refused = false;
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let total = self.memory_bytes.saturating_add(growth);
        if total > self.memory_limit {
            self.refused = true;
            return Ok(false);
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory_bytes = total;
        self.last_growth = growth;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_bytes = self.memory_bytes.saturating_sub(self.last_growth);
        self.last_growth = 0;
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > TABLE_ELEMENTS {
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_count_together() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.refused());
        limiter.forgive();
        assert!(limiter.memory_growing(60, 100, None).unwrap());
        assert!(!limiter.refused());
    }

    #[test]
    fn what_the_system_refuses_is_not_counted() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.memory_growing(0, 100, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("out of memory")).unwrap();
        assert!(limiter.memory_growing(0, 100, None).unwrap());
    }

    #[test]
    fn what_exceeds_the_memory_s_own_maximum_is_not_counted() {
        let mut limiter = Limiter::new(100);
        assert!(!limiter.memory_growing(0, 60, Some(50)).unwrap());
        assert!(!limiter.refused());
        assert!(limiter.memory_growing(0, 100, None).unwrap());
    }

    #[test]
    fn tables_have_a_bound() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.table_growing(0, TABLE_ELEMENTS, None).unwrap());
        assert!(!limiter.table_growing(TABLE_ELEMENTS, TABLE_ELEMENTS + 1, None).unwrap());
    }
}
