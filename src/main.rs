//! Arguments, logging, dispatch.
fn main() {}
