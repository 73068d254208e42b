//! How much is done for one object, all of its containers together.
//!
//! What a container may cost is bounded, and an object may have thousands of containers: without a
//! bound for all of them one request would take minutes, or more memory than there is.

use std::cell::Cell;

use super::changes::Budget;

/// How many commands are looked at in one container.
const COMMANDS: usize = 50_000;
/// How many of all containers of an object.
const COMMANDS_OF_ALL: usize = 2 * COMMANDS;
/// How many of a container when the others have used up what there was: enough for what runs a tool
/// without a loop. What is not looked at is searched word by word.
const COMMANDS_AT_LEAST: usize = 16;
/// How many bytes of values are put in the place of `$(NAME)`. More than 2 MiB of arguments and
/// variables no kernel starts a program with.
const BYTES_PUT: usize = 4 * 1024 * 1024;

/// What may still be done for an object.
#[derive(Debug)]
pub(super) struct Effort {
    commands: Cell<usize>,
    put: Cell<usize>,
    folders: Cell<Budget>,
}

/// The part of it that one container may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    /// Commands that may be looked at.
    pub(super) commands: usize,
    /// How much may be read of folders of migrations.
    pub(super) folders: Budget,
}

impl Effort {
    /// What may be done for an object of which nothing was looked at.
    pub(super) fn new() -> Self {
        Self {
            commands: Cell::new(COMMANDS_OF_ALL),
            put: Cell::new(BYTES_PUT),
            folders: Cell::new(Budget::of_object()),
        }
    }

    /// What the next container may have.
    pub(super) fn grant(&self) -> Grant {
        let commands = self.commands.get().clamp(COMMANDS_AT_LEAST, COMMANDS);
        Grant { commands, folders: self.folders.get().of_container() }
    }

    /// Takes away what was used of a grant.
    pub(super) fn settle(&self, granted: Grant, left: Grant) {
        let used = granted.commands.saturating_sub(left.commands);
        self.commands.set(self.commands.get().saturating_sub(used));
        self.folders.set(self.folders.get().less(granted.folders, left.folders));
    }

    /// Pays for bytes that are put in the place of `$(NAME)`; false when there were too many.
    pub(super) fn put(&self, bytes: usize) -> bool {
        let left = self.put.get().checked_sub(bytes);
        self.put.set(left.unwrap_or_default());
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_share_and_none_is_left_without() {
        let effort = Effort::new();
        let run = |used: usize| {
            let granted = effort.grant();
            let commands = granted.commands.saturating_sub(used);
            effort.settle(granted, Grant { commands, ..granted });
            granted.commands
        };
        assert_eq!(run(10), COMMANDS);
        assert_eq!(run(COMMANDS), COMMANDS);
        assert_eq!(run(COMMANDS), COMMANDS - 10);
        assert_eq!(run(COMMANDS), COMMANDS_AT_LEAST);
        assert_eq!(run(COMMANDS), COMMANDS_AT_LEAST);
    }

    #[test]
    fn values_are_put_until_there_were_too_many() {
        let effort = Effort::new();
        assert!(effort.put(BYTES_PUT - 1));
        assert!(effort.put(1));
        assert!(!effort.put(1));
        assert!(effort.put(0));
    }
}
