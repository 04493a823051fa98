//! Hash slots of a Redis cluster: which keys one script may touch together.
//!
//! A key belongs to slot CRC16(key) mod 16384 (polynomial 0x1021, as in XMODEM); if it has a `{tag}` that is not empty, the
//! tag counts instead of the whole key (Redis cluster specification, "Hash tags").

/// Slots of a cluster.
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key.
pub(super) fn slot(key: &[u8]) -> u16 {
    crc16(tag(key)) % SLOTS
}

fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else {
        return key;
    };
    match key[open + 1..].iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(length) => &key[open + 1..][..length],
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 }
        })
    })
}

/// For each slot a short text that, as a `{tag}`, puts a key there: the smallest number.
pub(super) fn tags() -> Vec<String> {
    let mut tags = vec![String::new(); usize::from(SLOTS)];
    let mut missing = tags.len();
    let mut number = 0_u32;
    while missing > 0 {
        let text = number.to_string();
        let tag = &mut tags[usize::from(slot(text.as_bytes()))];
        if tag.is_empty() {
            *tag = text;
            missing -= 1;
        }
        number += 1;
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // The check value of CRC16/XMODEM, which the specification names too.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"));
    }

    #[test]
    fn every_slot_has_a_tag() {
        for (place, tag) in tags().iter().enumerate() {
            assert_eq!(usize::from(slot(format!("any:{{{tag}}}").as_bytes())), place);
        }
    }
}
