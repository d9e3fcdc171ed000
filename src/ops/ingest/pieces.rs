//! Stores a batch in pieces, if it is too much for one transaction, or if the store refuses something in it. That is found by
//! halving the batch, and only that goes to quarantine.
//!
//! Invariant: no transaction keeps a writer for long, and one update takes a bounded number of them, however much of it is
//! refused. No other update goes to quarantine with it. Each update is answered as soon as all of it is stored.

use super::{
    arrival::{Arrival, Outcome},
    batch,
};
use crate::{error::Error, ops::Context};
use channels::Item;
use std::slice;

/// How many refused items of one update are searched for. Others go to quarantine together with their neighbours. The whole
/// update is in quarantine anyway.
const SEARCHED: usize = 8;

/// The maximum weight of what one transaction stores. On SQLite this takes about 50 ms, in which nobody else can write.
pub(in crate::ops) const PIECE: usize = 1000;

/// Parts of updates, in order, each with the index of its update in the batch.
type Pieces = Vec<(usize, Arrival)>;

/// Stores a batch. Calls `answer` for each update, in order.
pub(super) async fn store(
    context: &Context,
    updates: Vec<Vec<Arrival>>,
    mut answer: impl FnMut(Result<Outcome, Error>),
) {
    let mut totals: Vec<Result<Outcome, String>> = vec![Ok(Outcome::default()); updates.len()];
    let all: Pieces = updates
        .into_iter()
        .enumerate()
        .flat_map(|(place, arrivals)| arrivals.into_iter().map(move |one| (place, one)))
        .collect();
    let mut answered = 0;
    let mut searched = vec![0; totals.len()];
    let mut left = vec![all];
    while let Some(pieces) = left.pop() {
        if items(&pieces) > 1 && weight(&pieces) > PIECE {
            let (first, second) = halve(pieces);
            left.extend([second, first]);
            continue;
        }
        let mut stored = attempt(context, &pieces).await;
        if let Err(error) = &stored
            && !matches!(error, Error::Unavailable(_))
        {
            let one = one_update(&pieces);
            if items(&pieces) > 1 && one.is_none_or(|place| searched[place] < SEARCHED) {
                let (first, second) = halve(pieces);
                left.extend([second, first]);
                continue;
            }
            if let Some(place) = one {
                searched[place] += 1;
            }
            stored = set_aside(context, &pieces, error).await;
        }
        match stored {
            Ok(outcomes) => {
                for ((place, _), outcome) in pieces.iter().zip(outcomes) {
                    if let Ok(total) = &mut totals[*place] {
                        total.add(outcome);
                    }
                }
            }
            Err(Error::Unavailable(cause)) => {
                for _ in answered..totals.len() {
                    answer(Err(Error::Unavailable(cause.clone())));
                }
                return;
            }
            Err(error) => {
                for (place, _) in &pieces {
                    totals[*place] = Err(error.cause().unwrap_or("refused").to_owned());
                }
            }
        }
        let next = left.last().and_then(|pieces| pieces.first());
        let next = next.map_or(totals.len(), |(place, _)| *place);
        for total in &totals[answered..next] {
            answer(match total {
                Ok(outcome) => outcome.arrived(),
                Err(cause) => Err(Error::Internal(cause.clone())),
            });
        }
        answered = next;
    }
}

async fn attempt(context: &Context, pieces: &Pieces) -> Result<Vec<Outcome>, Error> {
    let batch: Vec<_> = pieces
        .iter()
        .map(|(_, arrival)| slice::from_ref(arrival))
        .collect();
    batch::store(context, &batch).await
}

/// The index of the update that all pieces belong to, if there is only one.
fn one_update(pieces: &Pieces) -> Option<usize> {
    let (first, last) = (pieces.first()?.0, pieces.last()?.0);
    (first == last).then_some(first)
}

fn weight(pieces: &Pieces) -> usize {
    pieces.iter().map(|(_, arrival)| arrival.weight()).sum()
}

fn items(pieces: &Pieces) -> usize {
    // An update without items still proves its inbox.
    let each = pieces.iter().map(|(_, arrival)| arrival.items.len().max(1));
    each.sum()
}

/// Splits the pieces into two, each with about half of the items. There must be at least two.
fn halve(mut pieces: Pieces) -> (Pieces, Pieces) {
    let half = items(&pieces) / 2;
    let mut before = 0;
    let mut at = 0;
    while let Some((_, arrival)) = pieces.get(at)
        && before + arrival.items.len().max(1) <= half
    {
        before += arrival.items.len().max(1);
        at += 1;
    }
    let mut second = pieces.split_off(at);
    if before < half
        && let Some((place, arrival)) = second.first_mut()
    {
        let rest = arrival.items.split_off(half - before);
        let items = std::mem::replace(&mut arrival.items, rest);
        let first = Arrival {
            items,
            ..arrival.empty()
        };
        pieces.push((*place, first));
    }
    (pieces, second)
}

/// Puts pieces into quarantine that the store refused.
async fn set_aside(
    context: &Context,
    pieces: &Pieces,
    error: &Error,
) -> Result<Vec<Outcome>, Error> {
    let cause = error.cause().unwrap_or("refused");
    let aside: Pieces = pieces
        .iter()
        .map(|(place, arrival)| {
            let count = arrival.items.iter().map(Item::count).sum();
            tracing::error!(inbox = %arrival.inbox, cause, items = count, "the store refused something");
            let refused = Item::Unreadable {
                reason: "the store refused it".into(),
                count,
            };
            let items = match count {
                0 => Vec::new(),
                _ => vec![refused],
            };
            (*place, Arrival { items, ..arrival.empty() })
        })
        .collect();
    attempt(context, &aside).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::Channel,
        id::{AccountId, InboxId},
    };

    fn pieces(of: &[usize]) -> Pieces {
        let item = Item::Ignored {
            kind: "x".to_owned(),
        };
        let arrival = |items: usize| Arrival {
            source: Default::default(),
            account: AccountId::from_text("acc_1"),
            inbox: InboxId::from_text("inbox_1"),
            channel: Channel::Whatsapp,
            proved: true,
            items: vec![item.clone(); items],
        };
        of.iter()
            .enumerate()
            .map(|(place, items)| (place, arrival(*items)))
            .collect()
    }

    fn shape(pieces: &Pieces) -> Vec<(usize, usize)> {
        pieces
            .iter()
            .map(|(place, arrival)| (*place, arrival.items.len()))
            .collect()
    }

    #[test]
    fn halves_are_halves_and_nothing_is_lost() {
        for (of, first, second) in [
            (&[2][..], vec![(0, 1)], vec![(0, 1)]),
            (&[5], vec![(0, 2)], vec![(0, 3)]),
            (&[1, 1], vec![(0, 1)], vec![(1, 1)]),
            (&[3, 1], vec![(0, 2)], vec![(0, 1), (1, 1)]),
            (&[1, 3], vec![(0, 1), (1, 1)], vec![(1, 2)]),
            (&[0, 0, 4], vec![(0, 0), (1, 0), (2, 1)], vec![(2, 3)]),
        ] {
            let (one, other) = halve(pieces(of));
            assert_eq!((shape(&one), shape(&other)), (first, second), "{of:?}");
        }
    }
}
