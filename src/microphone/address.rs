//! Which microphone: `hw:CARD,DEVICE`, or a number.
//!
//! Thread: main, before the run. Allocates: yes.

use std::fmt;
use std::str::FromStr;

/// As written after `microphone:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The so-manieth capture device of this machine, from 0, as `reflexarc microphones` lists them.
    Number(u32),
    /// A card by its number or its id (`hw:1,0`, `hw:Loopback,1`), and its device.
    Hardware { card: CardName, device: u32 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardName {
    Number(u32),
    /// As in `/proc/asound/cards`, between brackets. It stays when cards are plugged in another order.
    Id(String),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            Err(format!(
                "`{text}` is not a microphone: {why}. Write `hw:CARD,DEVICE` with the card's number or name, such as \
                 `hw:1,0`, or the number that `reflexarc microphones` shows"
            ))
        };
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        let Some(rest) = text.strip_prefix("hw:") else {
            return wrong(
                "only devices themselves can be opened, not `default` or a plugin's name",
            );
        };
        // `arecord -L` writes `hw:CARD=Device,DEV=0`.
        let mut parts = rest.split(',');
        let card = parts.next().unwrap_or_default();
        let device = parts.next().unwrap_or("0");
        if parts.next().is_some() {
            return wrong("a subdevice cannot be chosen, the first that is free is taken");
        }
        let card = card.strip_prefix("CARD=").unwrap_or(card);
        let Ok(device) = device.strip_prefix("DEV=").unwrap_or(device).parse() else {
            return wrong("the device is not a number");
        };
        let card = match card.parse() {
            Ok(number) => CardName::Number(number),
            Err(_) if card.is_empty() => return wrong("the card is missing"),
            // BOUND: the kernel's ids have 15 bytes.
            Err(_) if card.len() > 15 => return wrong("a card's id has 15 letters at most"),
            Err(_) => CardName::Id(card.to_owned()),
        };
        Ok(Self::Hardware { card, device })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Hardware { card, device } => match card {
                CardName::Number(card) => write!(f, "hw:{card},{device}"),
                CardName::Id(card) => write!(f, "hw:{card},{device}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_other_tools_show() {
        let hardware = |card: CardName, device| Ok(Address::Hardware { card, device });
        let id = |id: &str| CardName::Id(id.to_owned());
        assert_eq!("0".parse(), Ok(Address::Number(0)));
        assert_eq!("hw:1,0".parse(), hardware(CardName::Number(1), 0));
        assert_eq!("hw:2".parse(), hardware(CardName::Number(2), 0));
        assert_eq!("hw:Loopback,1".parse(), hardware(id("Loopback"), 1));
        assert_eq!("hw:CARD=Device,DEV=0".parse(), hardware(id("Device"), 0));
    }

    #[test]
    fn what_is_no_device_is_refused_with_the_way_out() {
        for text in [
            "default",
            "plughw:0,0",
            "hw:",
            "hw:0,x",
            "hw:0,0,0",
            "",
            "hw:AVeryLongNameOfACard,0",
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.contains("hw:CARD,DEVICE"), "{error}");
        }
    }
}
