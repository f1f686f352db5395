//! Which reader a file needs: its first bytes decide.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::clip::Clip;
use super::{avi, ffmpeg, images, y4m};
use crate::error::{Fault, Kind, Result};
use crate::rt::stop::Stop;

/// Opens a file or a folder. Reading ends early once `stop` is asked for.
pub(super) fn clip(path: &Path, stop: &Stop) -> Result<Box<dyn Clip>> {
    let cannot = |e: &std::io::Error| {
        let fix = match e.kind() {
            std::io::ErrorKind::NotFound => {
                "check the path; a relative one starts at the current folder"
            }
            std::io::ErrorKind::PermissionDenied => "allow this user to read it (`chmod +r`)",
            _ => "check the disk",
        };
        let what = format!("{} cannot be opened", path.display());
        Fault::from_io(what, e, Kind::BadInput, fix)
    };
    let metadata = fs::metadata(path).map_err(|e| cannot(&e))?;
    if metadata.is_dir() {
        return Ok(Box::new(images::Images::open_folder(path)?));
    }
    if !metadata.is_file() {
        return Err(Fault::new(
            Kind::Unsupported,
            format!("{} cannot be opened", path.display()),
            "it is neither a file nor a folder",
            "name a file; for a camera write `v4l2:/dev/video0`",
        ));
    }
    let mut file = File::open(path).map_err(|e| cannot(&e))?;
    let mut head = Vec::new();
    (&mut file)
        .take(16)
        .read_to_end(&mut head)
        .map_err(|e| cannot(&e))?;
    if head.is_empty() {
        return Err(Fault::new(
            Kind::BadInput,
            format!("{} cannot be read", path.display()),
            "the file is empty",
            "record or copy it again",
        ));
    }
    file.seek(SeekFrom::Start(0)).map_err(|e| cannot(&e))?;
    if head.starts_with(y4m::MAGIC) {
        return Ok(Box::new(y4m::Y4m::open(path, file)?));
    }
    if images::is_picture(&head) {
        return Ok(Box::new(images::Images::open_picture(path)?));
    }
    if avi::is_avi(&head)
        && let Some(avi) = avi::Avi::open(path, file)?
    {
        return Ok(Box::new(avi));
    }
    Ok(Box::new(ffmpeg::Ffmpeg::open(path, stop.clone())?))
}
