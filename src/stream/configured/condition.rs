//! Conditions as a user writes them: `speed > 0.5`, `policy.confidence >= 0.8`.
//!
//! Thread: main. Allocates: when read. Blocks: no.

use crate::stream::configured::port::Port;

/// A field compared with a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// None: a field of the stream's own port. Else one of another's, which is taken as of the element's instant.
    pub of: Option<Port>,
    pub field: usize,
    pub is: Comparison,
    pub number: f64,
    /// As written.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// Longer ones first: `<=` begins as `<` does.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl Condition {
    /// Reads a condition on a stream of `port`.
    pub fn parse(text: &str, port: Port) -> Result<Self, String> {
        let refuse = |why: String| format!("`{text}` is no condition: {why}");
        let found = COMPARISONS
            .iter()
            .filter_map(|(sign, is)| Some((text.find(sign)?, *sign, *is)))
            .min_by_key(|(place, sign, _)| (*place, std::cmp::Reverse(sign.len())));
        let Some((place, sign, is)) = found else {
            return Err(refuse(
                "write FIELD, one of < <= > >= == !=, and a number, such as \"policy.confidence > 0.5\"".to_owned(),
            ));
        };
        let (name, number) = (text[..place].trim(), text[place + sign.len()..].trim());
        let number: f64 = number
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .ok_or_else(|| refuse(format!("`{number}` is not a number")))?;
        let (of, field) = match name.split_once('.') {
            Some((other, field)) => {
                let other = Port::parse(other).map_err(refuse)?;
                (
                    (other != port).then_some(other),
                    other.field(field).map_err(refuse)?,
                )
            }
            None => (None, port.field(name).map_err(refuse)?),
        };
        Ok(Self {
            of,
            field,
            is,
            number,
            text: text.to_owned(),
        })
    }

    /// False for what is not a number.
    pub fn holds(&self, value: f64) -> bool {
        match self.is {
            Comparison::Less => value < self.number,
            Comparison::LessOrEqual => value <= self.number,
            Comparison::Greater => value > self.number,
            Comparison::GreaterOrEqual => value >= self.number,
            #[expect(clippy::float_cmp, reason = "what the user wrote")]
            Comparison::Equal => value == self.number,
            #[expect(clippy::float_cmp, reason = "what the user wrote")]
            Comparison::NotEqual => value != self.number && !value.is_nan(),
        }
    }
}
