//! As-of alignment: what several streams said at one instant.
//!
//! A frame was taken at an instant at which no sensor reported and nobody spoke. For each of the other streams a *lane*
//! keeps what it said lately and answers for that instant by a [`Choice`](choice::Choice): what held then, what lay nearest, what lies on
//! the line between two. Each answer says how it was found ([`Status`](choice::Status)), and whether anything that may still come could
//! change it. Because a choice knows when it is settled, it waits for no more than it needs: with a camera at 30 fps and
//! sensors at 100 Hz nothing, where a window of 50 ms that slides by 25 ms makes a frame wait for 33 ms.
//!
//! [`lane::Lane`] is the whole algorithm; [`operator::Align`] is it as an operator that waits up to a deadline.

// The answer, and how it is asked for.
pub mod choice;

// One stream's recent past.
pub mod lane;

// As an operator.
pub mod operator;
