//! Graphs of running pipelines as pictures and text. Owns the order of the flow, the layout, and how both are written down;
//! knows what runs only from [`Graph`](crate::model::Graph).

mod dot;
mod layout;
mod order;
mod scene;
mod svg;

#[cfg(test)]
mod tests;

pub use dot::dot;
pub use order::sort_by_flow;
pub use svg::svg;
