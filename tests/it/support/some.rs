//! Values that nobody chose.

use proptest::{
    prelude::Strategy,
    test_runner::{Config, TestRunner},
};
use std::fmt::Debug;
use tokio::{runtime::Handle, task::spawn_blocking};

/// Tries `check` on some values. What fails is made as small as it still fails.
pub(crate) async fn for_some<S>(
    cases: u32,
    values: S,
    check: impl AsyncFn(S::Value) + Send + 'static,
) where
    S: Strategy<Value: Debug> + Send + 'static,
{
    let here = Handle::current();
    let run = spawn_blocking(move || {
        let mut runner = TestRunner::new(Config {
            cases,
            failure_persistence: None,
            max_shrink_iters: 200,
            ..Config::default()
        });
        let outcome = runner.run(&values, |value| {
            here.block_on(check(value));
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{error}");
        }
    });
    run.await.expect("the property holds");
}
