//! Text that people write: pipeline files and log thresholds.

pub mod lexer;
pub mod log_thresholds;
pub mod nearest;
pub mod syntax;
pub mod template;
