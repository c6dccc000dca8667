//! The streams table under random sequences: references are exact, whatever happens in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    references::Holder,
    references_tests::{Bench, stereo, viewer},
};
use crate::{error::Error, model::StreamType};

#[derive(Debug, Clone)]
enum Step {
    Acquire(u32, StreamType),
    Release(u32),
    Restart(StreamType, u32),
    Obey,
    Fail(StreamType),
    Break(StreamType),
    Unplug,
    Plug,
    Pass(u64),
}

fn any_stream() -> impl Strategy<Value = StreamType> {
    proptest::sample::select(StreamType::VIDEO.to_vec())
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6u32, any_stream()).prop_map(|(who, stream)| Step::Acquire(who, stream)),
        3 => (0..6u32).prop_map(Step::Release),
        2 => (any_stream(), 1..4u32).prop_map(|(stream, size)| Step::Restart(stream, size * 320)),
        4 => Just(Step::Obey),
        1 => any_stream().prop_map(Step::Fail),
        1 => any_stream().prop_map(Step::Break),
        1 => Just(Step::Unplug),
        2 => Just(Step::Plug),
        3 => (0..20u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// Whatever happens, the counts equal a plain model of who holds what, every wanted stream has a holder or
    /// lingers, and once everyone has left nothing is wanted and nothing is due.
    #[test]
    fn references_are_exact_under_any_sequence(steps in proptest::collection::vec(any_step(), 1..120)) {
        let mut bench = Bench::new();
        let mut model: BTreeMap<StreamType, BTreeSet<u32>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Acquire(who, stream) => {
                    if bench.acquire(viewer(who), stream).is_ok() {
                        model.entry(stream).or_default().insert(who);
                    }
                }
                Step::Release(who) => {
                    bench.release(&viewer(who));
                    for holders in model.values_mut() {
                        holders.remove(&who);
                    }
                }
                Step::Restart(stream, width) => {
                    let config = [stereo(stream, width)];
                    bench.streams.restart(bench.now, &bench.device.clone(), &config, &Holder::Start(1));
                    bench.drain();
                }
                Step::Obey => bench.obey(),
                Step::Fail(stream) => bench.fail(stream),
                Step::Break(stream) => {
                    let key = bench.key(stream);
                    bench.streams.broke(bench.now, &key, bench.generation, &Error::unavailable("x"));
                    bench.drain();
                }
                Step::Unplug => {
                    bench.streams.device_gone(&bench.device.clone());
                    bench.drain();
                    // A device that is plugged in again runs nothing.
                    bench.wanted.clear();
                }
                Step::Plug => {
                    bench.streams.device_present(&bench.device.clone());
                    bench.drain();
                }
                Step::Pass(seconds) => bench.pass(seconds),
            }
            for line in bench.said() {
                if let Some(name) = line.strip_prefix("failed ").and_then(|rest| rest.split(' ').next()) {
                    model.remove(&name.parse::<StreamType>().unwrap());
                }
            }
            for stream in StreamType::VIDEO {
                prop_assert_eq!(bench.count(stream), model.get(&stream).map_or(0, BTreeSet::len), "{}", stream);
            }
        }
        for who in 0..6 {
            bench.release(&viewer(who));
        }
        bench.pass(60);
        bench.streams.device_present(&bench.device.clone());
        bench.drain();
        prop_assert!(bench.wanted.is_empty());
        prop_assert_eq!(bench.streams.next_timeout(), None);
    }
}
