//! A camera's controls: brightness, exposure, test pattern and the like.
//!
//! Thread: housekeeping, before start. Allocates: yes.

use std::fmt;
use std::io;

use v4l::v4l_sys as sys;

use super::config::{ControlValue, V4l2Config};
use super::negotiate::device_fault;
use super::node::{self, Node, Plain};
use crate::error::{Fault, Kind, Result};

/// BOUND: the most controls of one driver seen is below 100 (vivid); this ends the list of a driver that
/// never does.
const CONTROLS_MAX: usize = 1024;
/// BOUND: menus have a handful of items; a driver with a sparse menu may name thousands.
const ITEMS_MAX: i64 = 256;

/// What a control takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Takes {
    /// min, max, step.
    Number(i64, i64, u64),
    /// As a number, for values wider than 32 bits.
    Wide(i64, i64, u64),
    /// These bits.
    Bits(u32),
    Switch,
    /// Index and name of each item.
    Menu(Vec<(i64, String)>),
    /// Does something when set to anything.
    Button,
}

/// One control of a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlInfo {
    pub id: u32,
    /// The driver's name in lower case, with `_` for everything but letters and digits.
    pub name: String,
    pub takes: Takes,
    pub default: i64,
    /// The value that it has now, if the driver tells.
    pub now: Option<i64>,
    /// None when it can be set; else why it cannot.
    pub locked: Option<&'static str>,
    /// It can be set, but has no effect until another control is changed.
    pub inactive: bool,
}

/// All controls whose values are numbers. Others (strings, arrays) are not for a configuration file.
pub(super) fn controls(node: &Node) -> Vec<ControlInfo> {
    let mut all = Vec::new();
    let mut query = sys::v4l2_query_ext_ctrl::zeroed();
    for _ in 0..CONTROLS_MAX {
        query.id |= sys::V4L2_CTRL_FLAG_NEXT_CTRL;
        if node.ask(node::QUERY_CONTROL, &mut query).is_err() {
            break;
        }
        all.extend(info(node, &query));
    }
    all
}

fn info(node: &Node, query: &sys::v4l2_query_ext_ctrl) -> Option<ControlInfo> {
    if query.flags & sys::V4L2_CTRL_FLAG_DISABLED != 0 {
        return None;
    }
    let (min, max, step) = (query.minimum, query.maximum, query.step);
    let takes = match query.type_ {
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER => Takes::Number(min, max, step),
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER64 => Takes::Wide(min, max, step),
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN => Takes::Switch,
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BUTTON => Takes::Button,
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU => Takes::Menu(items(node, query, false)),
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU => Takes::Menu(items(node, query, true)),
        sys::v4l2_ctrl_type_V4L2_CTRL_TYPE_BITMASK => {
            // The kernel keeps the mask in the low 32 bits of `maximum`.
            Takes::Bits(u32::try_from(max & 0xffff_ffff).unwrap_or(0))
        }
        _ => return None,
    };
    let locked = if query.flags & sys::V4L2_CTRL_FLAG_READ_ONLY != 0 {
        Some("it is read-only")
    } else if query.flags & sys::V4L2_CTRL_FLAG_GRABBED != 0 {
        Some("another program streams from the camera and keeps it")
    } else {
        None
    };
    Some(ControlInfo {
        id: query.id,
        name: config_name(&query.name.map(c_char_byte)),
        now: value_now(node, query.id, &takes),
        takes,
        default: query.default_value,
        locked,
        inactive: query.flags & sys::V4L2_CTRL_FLAG_INACTIVE != 0,
    })
}

/// `c_char` is signed on some machines and unsigned on others; the bits are the same.
fn c_char_byte(c: std::ffi::c_char) -> u8 {
    c.to_ne_bytes()[0]
}

/// "White Balance, Auto" is `white_balance_auto`.
fn config_name(field: &[u8]) -> String {
    let text = node::text(field).to_lowercase();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|w| !w.is_empty()).collect();
    words.join("_")
}

/// The items of a menu; drivers leave out those that they do not have.
fn items(node: &Node, query: &sys::v4l2_query_ext_ctrl, numbers: bool) -> Vec<(i64, String)> {
    (query.minimum..=query.maximum.min(query.minimum + ITEMS_MAX))
        .filter_map(|index| {
            let mut item = sys::v4l2_querymenu::zeroed();
            item.id = query.id;
            item.index = u32::try_from(index).ok()?;
            node.ask(node::QUERY_MENU, &mut item).ok()?;
            let name = match numbers {
                // SAFETY: menus of numbers have a number, others a name; any bits are either.
                true => unsafe { item.__bindgen_anon_1.value }.to_string(),
                // SAFETY: as above.
                false => node::text(&unsafe { item.__bindgen_anon_1.name }),
            };
            Some((index, name))
        })
        .collect()
}

fn value_now(node: &Node, id: u32, takes: &Takes) -> Option<i64> {
    if matches!(takes, Takes::Wide(..) | Takes::Button) {
        return None; // The simple call has no room for the first; the second has no value.
    }
    let mut control = sys::v4l2_control::zeroed();
    control.id = id;
    node.ask(node::GET_CONTROL, &mut control).ok()?;
    Some(i64::from(control.value))
}

/// Sets all controls of the configuration, each checked first. A control that has no effect yet (a manual
/// exposure while the automatic one is on) is set after the others, in case one of them frees it.
pub(super) fn apply(node: &Node, config: &V4l2Config) -> Result<()> {
    if config.controls.is_empty() {
        return Ok(());
    }
    let known = controls(node);
    let mut later = Vec::new();
    let mut now = Vec::new();
    for (name, value) in &config.controls {
        let control = find(node, &known, name)?;
        let number = number(control, value).map_err(|why| bad_value(node, control, value, why))?;
        match control.inactive {
            true => later.push((control, number)),
            false => now.push((control, number)),
        }
    }
    for (control, number) in now.into_iter().chain(later) {
        set(node, control, number)?;
    }
    Ok(())
}

fn find<'a>(node: &Node, known: &'a [ControlInfo], name: &str) -> Result<&'a ControlInfo> {
    let id = match name.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => name.parse().ok(),
    };
    known
        .iter()
        .find(|c| c.name == name || Some(c.id) == id)
        .ok_or_else(|| {
            let names: Vec<_> = known.iter().map(|c| c.name.as_str()).collect();
            Fault::new(
                Kind::Config,
                format!(
                    "the camera {} has no control `{name}`",
                    node.path().display()
                ),
                format!("it has: {}", names.join(", ")),
                "take one of these names in `controls`, or leave it out",
            )
        })
}

/// The number to set for a value of the configuration, or why there is none.
fn number(control: &ControlInfo, value: &ControlValue) -> std::result::Result<i64, String> {
    if let Some(why) = control.locked {
        return Err(why.to_owned());
    }
    match (&control.takes, value) {
        (Takes::Number(min, max, step) | Takes::Wide(min, max, step), &ControlValue::Number(n)) => {
            let on_step = match i64::try_from(*step) {
                Ok(step) if step > 0 => n.wrapping_sub(*min) % step == 0,
                _ => true,
            };
            match (min..=max).contains(&&n) && on_step {
                true => Ok(n),
                false => Err(format!("it takes {}", control.takes)),
            }
        }
        (Takes::Bits(mask), &ControlValue::Number(n)) => match u32::try_from(n) {
            Ok(bits) if bits & !mask == 0 => Ok(i64::from(bits.cast_signed())),
            _ => Err(format!("it takes {}", control.takes)),
        },
        (Takes::Switch, &ControlValue::Switch(on)) => Ok(i64::from(on)),
        (Takes::Switch, &ControlValue::Number(n @ (0 | 1))) => Ok(n),
        (Takes::Button, &ControlValue::Switch(true) | &ControlValue::Number(_)) => Ok(1),
        (Takes::Menu(items), ControlValue::Number(n)) if items.iter().any(|(i, _)| i == n) => {
            Ok(*n)
        }
        (Takes::Menu(items), ControlValue::Item(name)) => items
            .iter()
            .find(|(_, item)| item.eq_ignore_ascii_case(name))
            .map(|(index, _)| *index)
            .ok_or_else(|| format!("it takes {}", control.takes)),
        (takes, _) => Err(format!("it takes {takes}")),
    }
}

fn bad_value(node: &Node, control: &ControlInfo, value: &ControlValue, why: String) -> Fault {
    Fault::new(
        Kind::Config,
        format!(
            "control `{}` of the camera {} cannot be set to {value}",
            control.name,
            node.path().display()
        ),
        why,
        format!("change or remove `controls.{}`", control.name),
    )
}

fn set(node: &Node, control: &ControlInfo, number: i64) -> Result<()> {
    let narrow = i32::try_from(number).ok();
    let done = match (&control.takes, narrow) {
        (Takes::Wide(..), _) | (_, None) => node.set_wide_control(control.id, number),
        (_, Some(value)) => {
            let mut argument = sys::v4l2_control {
                id: control.id,
                value,
            };
            node.ask(node::SET_CONTROL, &mut argument)
        }
    };
    done.map_err(|e: io::Error| {
        let what = format!("take {number} for its control `{}`", control.name);
        let mut fault = device_fault(node, &what, &e);
        if control.inactive {
            fault.fix = format!(
                "`{}` is off until another control is changed, often the automatic one beside it",
                control.name
            );
        }
        fault
    })
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(min, max, step) | Self::Wide(min, max, step) => {
                write!(f, "{min} ..= {max}")?;
                match step {
                    0 | 1 => Ok(()),
                    step => write!(f, " in steps of {step}"),
                }
            }
            Self::Bits(mask) => write!(f, "the bits of {mask:#x}"),
            Self::Switch => f.write_str("true or false"),
            Self::Button => f.write_str("true, and acts at once"),
            Self::Menu(items) => {
                let items: Vec<_> = items
                    .iter()
                    .map(|(i, name)| format!("{i} \"{name}\""))
                    .collect();
                f.write_str(&items.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(takes: Takes) -> ControlInfo {
        ControlInfo {
            id: 1,
            name: "gain".to_owned(),
            takes,
            default: 0,
            now: None,
            locked: None,
            inactive: false,
        }
    }

    #[test]
    fn names_are_made_as_other_tools_make_them() {
        let rows = [
            ("White Balance, Automatic", "white_balance_automatic"),
            ("Inject V4L2_BUF_FLAG_ERROR", "inject_v4l2_buf_flag_error"),
            ("U32 1 Element Array", "u32_1_element_array"),
            ("Exposure (Absolute)\0junk", "exposure_absolute"),
        ];
        for (driver, wanted) in rows {
            assert_eq!(config_name(driver.as_bytes()), wanted);
        }
    }

    #[test]
    fn a_value_out_of_range_or_between_steps_is_refused_with_the_range() {
        let gain = control(Takes::Number(-64, 64, 8));
        for n in [-64, 0, 64] {
            assert_eq!(number(&gain, &ControlValue::Number(n)), Ok(n));
        }
        for n in [-65, 65, 4, i64::MAX, i64::MIN] {
            let why = number(&gain, &ControlValue::Number(n));
            assert_eq!(why, Err("it takes -64 ..= 64 in steps of 8".to_owned()));
        }
        assert!(number(&gain, &ControlValue::Switch(true)).is_err());
    }

    #[test]
    fn a_menu_takes_an_items_number_or_its_name() {
        let items = vec![
            (1, "Manual Mode".to_owned()),
            (3, "Aperture Priority Mode".to_owned()),
        ];
        let menu = control(Takes::Menu(items));
        let item = |name: &str| number(&menu, &ControlValue::Item(name.to_owned()));
        assert_eq!(item("manual mode"), Ok(1));
        assert_eq!(number(&menu, &ControlValue::Number(3)), Ok(3));
        assert!(number(&menu, &ControlValue::Number(2)).is_err());
        assert_eq!(
            item("auto"),
            Err("it takes 1 \"Manual Mode\", 3 \"Aperture Priority Mode\"".to_owned())
        );
    }

    #[test]
    fn bits_outside_the_mask_are_refused() {
        let bits = control(Takes::Bits(0x8000_0002));
        assert_eq!(number(&bits, &ControlValue::Number(2)), Ok(2));
        assert_eq!(
            number(&bits, &ControlValue::Number(0x8000_0000)),
            Ok(i64::from(i32::MIN))
        );
        assert!(number(&bits, &ControlValue::Number(1)).is_err());
        assert!(number(&bits, &ControlValue::Number(-1)).is_err());
    }

    #[test]
    fn a_locked_control_says_why() {
        let mut fixed = control(Takes::Switch);
        fixed.locked = Some("it is read-only");
        let why = number(&fixed, &ControlValue::Switch(true));
        assert_eq!(why, Err("it is read-only".to_owned()));
    }
}
