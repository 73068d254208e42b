//! Tests of the whole, in one binary that is linked once.

mod architecture;
mod check;
mod generated;
