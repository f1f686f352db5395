//! From a recording that was cut off to one that is whole: everything that can be read, with an end.
//!
//! Thread: main. Allocates: a chunk at a time. Blocks: on the disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use super::mcap::read::{Ending, Extras, McapReader};
use super::mcap::write::{Compression, McapWriter, Schema, Stamps};
use crate::error::{Fault, Kind, Result};

/// What was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    pub messages: u64,
    pub ending: Ending,
}

/// Copies what can be read of any MCAP file into a new one.
///
/// # Errors
/// `BadInput` if `from` is not MCAP, `Output` if `to` cannot be written, `Usage` if they are the same file.
pub fn recover(from: &Path, to: &Path) -> Result<Recovered> {
    if to
        .canonicalize()
        .is_ok_and(|to| from.canonicalize().is_ok_and(|from| from == to))
    {
        return Err(Fault::new(
            Kind::Usage,
            format!("{} cannot be recovered into itself", from.display()),
            "it would be overwritten before it is read",
            "name another file",
        ));
    }
    let fix = "name an MCAP file, whole or not";
    let cannot_read = |error: io::Error| {
        let what = format!("{} cannot be read", from.display());
        Fault::from_io(what, &error, Kind::BadInput, fix)
    };
    let file = File::open(from).map_err(cannot_read)?;
    let mut reader = McapReader::new(file).map_err(cannot_read)?;
    // What stands before and between the messages is copied first: then every message has its channel.
    let (extras, _) = reader.read(&mut |_| {}).map_err(cannot_read)?;
    let (mut writer, channels) = begin(to, &extras).map_err(|e| cannot_write(to, &e))?;
    let mut failed = None;
    let copied = reader.read(&mut |message| {
        let stamps = Stamps {
            log: message.log_time,
            publish: message.publish_time,
        };
        let channel = channels[&message.channel];
        let data = [message.data, &[]];
        if failed.is_none()
            && let Err(error) = writer.message(channel, message.sequence, stamps, data)
        {
            failed = Some(error);
        }
    });
    let (_, ending) = copied.map_err(cannot_read)?;
    let ended = failed.map_or(Ok(()), Err);
    let ended = ended.and_then(|()| writer.close_chunk());
    let messages = writer.messages();
    let ended = ended.and_then(|()| writer.finish());
    ended.map_err(|e| cannot_write(to, &e))?;
    Ok(Recovered { messages, ending })
}

/// The new file up to its first message, and its channels by those of the old.
fn begin(to: &Path, extras: &Extras) -> io::Result<(McapWriter, BTreeMap<u16, u16>)> {
    let library = concat!("reflexarc ", env!("CARGO_PKG_VERSION"));
    let mut writer = McapWriter::new(File::create(to)?, library, Compression::default())?;
    let (mut schemas, mut channels) = (BTreeMap::new(), BTreeMap::new());
    for (old, channel) in &extras.channels {
        let schema = match schemas.get(&channel.schema) {
            Some(id) => *id,
            None => writer.schema(&Schema {
                name: &channel.schema,
                encoding: &channel.encoding,
                text: &channel.text,
            })?,
        };
        schemas.insert(&channel.schema, schema);
        let new = writer.channel(schema, &channel.topic, &channel.message_encoding)?;
        channels.insert(*old, new);
    }
    for (name, data) in &extras.attachments {
        writer.attachment(name, "application/octet-stream", 0, data)?;
    }
    for (name, entries) in &extras.metadata {
        let entries: Vec<_> = entries
            .iter()
            .map(|(k, v)| (k.as_str(), v.clone()))
            .collect();
        writer.metadata(name, &entries)?;
    }
    Ok((writer, channels))
}

fn cannot_write(path: &Path, error: &io::Error) -> Fault {
    Fault::from_io(
        format!("{} cannot be written", path.display()),
        error,
        Kind::Output,
        "name a file in a folder that you may write to, on a disk with room",
    )
}
