//! `probe stream-types`: every stream type alone and in mixes, with the reference counts after every join and leave.

use super::steps::Check;

/// The video stream types of the contract.
const CONTRACT: [&str; 4] = ["color", "depth", "infrared-1", "infrared-2"];

/// Runs the check with the given stream types, or those of the contract that the device has; true when all passed.
pub async fn run(mut check: Check, wanted: &[String]) -> bool {
    let offered = check.client.stream_types(&check.device).await.unwrap_or_default();
    let known: Vec<&str> = CONTRACT.into_iter().filter(|name| offered.iter().any(|other| other == name)).collect();
    let types: Vec<&str> = match (wanted, known.as_slice()) {
        ([], []) => CONTRACT.to_vec(),
        ([], known) => known.to_vec(),
        (wanted, _) => wanted.iter().map(String::as_str).collect(),
    };
    check.report.say(format!("  types: {}", types.join(", ")));

    for name in &types {
        check.join("single", &[name]).await;
        check.references_fit("after the join").await;
        check.leave("single").await;
        check.references_fit("after the leave").await;
    }
    for pair in types.windows(2) {
        check.join("pair", pair).await;
        check.references_fit("after the join").await;
        check.leave("pair").await;
        check.references_fit("after the leave").await;
    }

    // Overlapping mixes: each leaves while others hold the same types.
    let first = &types[..1];
    check.join("A", first).await;
    check.references_fit("with A").await;
    check.join("B", &types).await;
    check.references_fit("with A and B").await;
    if types.len() > 1 {
        check.join("C", &types[1..]).await;
        check.references_fit("with A, B and C").await;
        check.others_go_on("with all mixes").await;
    }
    check.leave("B").await;
    check.references_fit("after B left").await;
    check.others_go_on("after B left").await;
    check.leave("A").await;
    check.references_fit("after A left").await;
    if types.len() > 1 {
        check.others_go_on("after A left").await;
    }
    check.clean_up().await
}
