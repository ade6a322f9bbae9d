//! galileo-events
