//! The order in which a pipeline's elements are listed: as the buffers flow.

use std::collections::HashMap;

use crate::model::{GraphElement, GraphLink};

/// Puts elements into the order of the flow: each after those that lead to it, and each chain in one piece; last those that
/// nothing is linked to. Where the flow goes in circles, the order given decides.
pub fn sort_by_flow(elements: &mut Vec<GraphElement>, links: &[GraphLink]) {
    let index: HashMap<&str, usize> =
        elements.iter().enumerate().map(|(at, element)| (element.name.as_str(), at)).collect();
    let mut next = vec![Vec::new(); elements.len()];
    let mut waits_for = vec![0usize; elements.len()];
    for link in links {
        let (Some(from), Some(to)) = (index.get(link.from.as_str()), index.get(link.to.as_str())) else { continue };
        next[*from].push(*to);
        waits_for[*to] += 1;
    }
    let mut order = Vec::with_capacity(elements.len());
    let mut placed = vec![false; elements.len()];
    // Deepest first, so that a chain is finished before the next begins.
    let (alone, mut ready): (Vec<usize>, Vec<usize>) =
        (0..elements.len()).rev().filter(|at| waits_for[*at] == 0).partition(|at| next[*at].is_empty());
    ready.splice(..0, alone);
    while order.len() < elements.len() {
        // In a circle nobody is ready; the first that is left goes.
        let at = ready.pop().or_else(|| placed.iter().position(|placed| !placed));
        let Some(at) = at.filter(|at| !placed[*at]) else { continue };
        placed[at] = true;
        order.push(at);
        for to in next[at].iter().rev() {
            waits_for[*to] = waits_for[*to].saturating_sub(1);
            if waits_for[*to] == 0 && !placed[*to] {
                ready.push(*to);
            }
        }
    }
    let mut slots: Vec<_> = std::mem::take(elements).into_iter().map(Some).collect();
    elements.extend(order.into_iter().filter_map(|at| slots[at].take()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[&str], links: &[(&str, &str)]) -> Vec<String> {
        let element = |name: &&str| GraphElement { name: (*name).into(), ..GraphElement::default() };
        let link =
            |(from, to): &(&str, &str)| GraphLink { from: (*from).into(), to: (*to).into(), ..GraphLink::default() };
        let mut elements = names.iter().map(element).collect();
        sort_by_flow(&mut elements, &links.iter().map(link).collect::<Vec<_>>());
        elements.into_iter().map(|element| element.name).collect()
    }

    #[test]
    fn elements_stand_in_the_order_of_the_flow() {
        let links = [("src", "conv"), ("conv", "enc"), ("enc", "tee"), ("tee", "a"), ("tee", "b"), ("b", "c")];
        assert_eq!(
            sorted(&["tee", "c", "enc", "src", "b", "conv", "a"], &links),
            ["src", "conv", "enc", "tee", "a", "b", "c"]
        );
        assert_eq!(sorted(&["x", "y"], &[]), ["x", "y"]);
        assert_eq!(sorted(&["alone", "a", "b"], &[("a", "b")]), ["a", "b", "alone"]);
    }

    #[test]
    fn a_circle_and_strangers_lose_nobody() {
        let links = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("nobody", "a"), ("a", "a")];
        let mut found = sorted(&["a", "b", "c", "d"], &links);
        assert_eq!(found, ["a", "b", "c", "d"]);
        found.dedup();
        assert_eq!(found.len(), 4);
    }
}
