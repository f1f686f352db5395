//! A datagram on a byte stream: checked by a CRC and framed so that a receiver finds the next one after any loss.
//!
//! Thread: any. Allocates: no. Blocks: no. Locks: no. Syscalls: none.
//!
//! On the line stands `COBS(datagram, CRC-32 of the datagram, little endian), 0`. COBS (Cheshire and Baker,
//! "Consistent Overhead Byte Stuffing", 1999) removes every 0 byte for one byte of overhead, so a 0 ends a
//! frame and nothing else does. The CRC is that of Ethernet and zlib (`zlib.crc32` in Python).

use super::DATAGRAM_BYTES_MAX;

/// BOUND: datagram, CRC, one byte of COBS for under 255 bytes, the 0.
pub const FRAMED_BYTES_MAX: usize = DATAGRAM_BYTES_MAX + 4 + 1 + 1;
const _: () = assert!(DATAGRAM_BYTES_MAX + 4 < 255, "one COBS block is enough");

/// Writes the frame of one datagram and returns its length.
///
/// # Panics
/// If the datagram is longer than `DATAGRAM_BYTES_MAX`.
pub fn encode(datagram: &[u8], out: &mut [u8; FRAMED_BYTES_MAX]) -> usize {
    let crc = crc32(datagram).to_le_bytes();
    // The place of the code byte that tells how far away the next 0 was.
    let mut code_at = 0;
    let mut end = 1;
    for byte in datagram.iter().chain(&crc) {
        if *byte == 0 {
            out[code_at] = distance(code_at, end);
            code_at = end;
        } else {
            out[end] = *byte;
        }
        end += 1;
    }
    out[code_at] = distance(code_at, end);
    out[end] = 0;
    end + 1
}

fn distance(from: usize, to: usize) -> u8 {
    u8::try_from(to - from).expect("a frame is below 255 bytes")
}

/// The datagram in a frame (without its 0), if it arrived whole.
pub fn decode<'a>(frame: &[u8], out: &'a mut [u8; FRAMED_BYTES_MAX]) -> Option<&'a [u8]> {
    let (mut at, mut len) = (0, 0);
    // BOUND: every turn consumes at least the code byte.
    while at < frame.len() {
        let code = usize::from(frame[at]);
        let block = frame.get(at + 1..(at + code).max(at + 1))?;
        if code == 0 || len + block.len() + 1 > out.len() {
            return None;
        }
        out[len..len + block.len()].copy_from_slice(block);
        len += block.len();
        at += code;
        if at < frame.len() {
            out[len] = 0;
            len += 1;
        }
    }
    let (datagram, crc) = out[..len].split_last_chunk::<4>()?;
    (crc32(datagram).to_le_bytes() == *crc).then_some(datagram)
}

/// CRC-32 of ISO-HDLC: reflected polynomial 0xEDB88320, start and end inverted.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (crc >> 8) ^ TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)]
    })
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index: u32 = 0;
    while index < 256 {
        let mut crc: u32 = index;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1));
            bit += 1;
        }
        table[index as usize] = crc;
        index += 1;
    }
    table
};
