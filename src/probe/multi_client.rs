//! `probe multi-client`: several sessions at once; one closes, the others go on; counts are right; nothing is left.

use super::steps::Check;

/// What each viewer watches; repeats when more viewers are asked for.
const MIX: [&[&str]; 3] = [&["color"], &["depth"], &["color", "depth"]];

/// Runs the check; true when every step passed.
pub async fn run(mut check: Check, clients: usize) -> bool {
    let names: Vec<String> = (1..=clients).map(|number| format!("viewer {number}")).collect();
    for (name, streams) in names.iter().zip(MIX.iter().cycle()) {
        check.join(name, streams).await;
    }
    check.references_fit("with everybody in").await;
    check.sessions_listed().await;
    check.others_go_on("with everybody in").await;
    // From the first on, so that every mix of streams leaves while others still watch the same streams.
    for name in names.iter().take(clients.saturating_sub(1)) {
        check.leave(name).await;
        check.others_go_on(&format!("after {name} left")).await;
        check.references_fit(&format!("after {name} left")).await;
    }
    check.join("newcomer", MIX[0]).await;
    check.others_go_on("with a newcomer").await;
    check.clean_up().await
}
