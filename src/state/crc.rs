//! CRC-32C (Castagnoli; polynomial 0x1EDC6F41, reflected), as in RFC 3720, appendix B.4: finds every error burst of up to
//! 32 bits, so every damaged byte.
//!
//! Thread: any. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

const POLYNOMIAL: u32 = 0x82F6_3B78;

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte: u32 = 0;
    // BOUND: 256 bytes of 8 bits each.
    while byte < 256 {
        let mut crc = byte;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
}

/// The checksum of what `before` is the checksum of, followed by these bytes. 0: nothing was before.
pub fn crc32c(before: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize];
    !bytes.iter().fold(!before, step)
}
