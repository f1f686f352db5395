//! The microphones of this machine, for people: what `reflexarc microphones` prints.
//!
//! Thread: main. Allocates: yes.

use std::fmt::Write as _;

use super::card::{self, Card};
use super::negotiate::Offer;
use super::pcm::Pcm;

/// A line or two for each capture device, in the order of their numbers.
pub fn listing() -> String {
    let devices = card::capture_devices();
    if devices.is_empty() {
        return "no microphones: no card in /dev/snd captures\n  \
                fix: plug one in; if one is plugged in, see `dmesg` and the rights of /dev/snd\n"
            .to_owned();
    }
    let mut text = String::new();
    for (number, (card, device)) in devices.into_iter().enumerate() {
        let node = card::capture_node(card, device);
        let (id, name) = match Card::look(card) {
            Ok(card) => (
                card.id.as_str().to_owned(),
                card.long_name.as_str().to_owned(),
            ),
            Err(e) => (card.to_string(), format!("cannot be asked: {e}")),
        };
        let _ = writeln!(text, "{number}  hw:{id},{device}  {name}");
        let offer = Pcm::open(node.as_path()).map_err(|e| e.to_string());
        let offer = offer.and_then(|pcm| Offer::of(&pcm).map_err(|e| format!("{e:?}")));
        let _ = match offer {
            Ok(offer) => {
                let forms: Vec<_> = offer.forms.iter().map(|form| form.name()).collect();
                let (least, most) = offer.channels;
                let rates = offer.rates_in_words();
                writeln!(
                    text,
                    "   {least} to {most} channels, {} at {rates} samples a second",
                    forms.join(", ")
                )
            }
            Err(why) => writeln!(text, "   what it offers cannot be told now: {why}"),
        };
    }
    text
}
