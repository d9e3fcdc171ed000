//! How much may leave when: by inbox, chat and group, as the providers allow; and how much of an inbox is under way.
//!
//! Each process knows its own traffic only. What a provider says about too much is kept to beside that.
//!
//! Invariant: whoever was told to come back at a time finds its place free then.

use super::patience::{LONGEST, backoff};
use crate::{
    domain::Channel,
    id::{AccountId, ConversationId, InboxId, MessageId},
};
use std::{collections::HashMap, hash::Hash};

/// Requests of one inbox that are under way at once: one whose provider hangs must not take the places of all others.
const AT_ONCE: usize = 32;
/// The same for one account: a quarter of all places.
const AT_ONCE_OF_ACCOUNT: usize = 128;
/// How much sooner than evenly some may leave, in microseconds.
const BURST: i64 = 250_000;
/// When to look again whether an inbox has fewer under way, in milliseconds: at as many messages as it can have.
const BUSY: i64 = 200;

/// What shares a pace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Lane {
    Inbox(InboxId),
    Chat(ConversationId),
    /// What comes again because its inbox had too much under way.
    Busy(InboxId),
}

/// What leaves, and what may.
#[derive(Debug, Default)]
pub struct Traffic {
    /// When a lane would be free, were everything to leave evenly, in microseconds since 1970.
    free_at: HashMap<Lane, i64>,
    /// Messages that were given a place in milliseconds since 1970, with their inboxes.
    reserved: HashMap<MessageId, (i64, InboxId)>,
    /// Inboxes that sent too much: how many times on end, and until when they wait, in milliseconds since 1970.
    slowed: HashMap<InboxId, (i64, i64)>,
    under_way: HashMap<InboxId, usize>,
    under_way_of_account: HashMap<AccountId, usize>,
}

impl Traffic {
    /// Whether a message may leave now, in milliseconds since 1970; or else when it may. `pace`: how many the business wants
    /// to leave in a second at most.
    pub(super) fn admit(
        &mut self,
        channel: Channel,
        is_group: bool,
        pace: Option<i64>,
        (account, inbox, conversation, message): (
            &AccountId,
            &InboxId,
            &ConversationId,
            &MessageId,
        ),
        now: i64,
    ) -> Result<(), i64> {
        let of_account = self.under_way_of_account.get(account);
        if self.under_way.get(inbox).is_some_and(|n| *n >= AT_ONCE)
            || of_account.is_some_and(|n| *n >= AT_ONCE_OF_ACCOUNT)
        {
            let at = self.free_at.entry(Lane::Busy(inbox.clone())).or_default();
            let back = (*at).max((now + BUSY) * 1000);
            *at = back + BUSY * 1000 / AT_ONCE as i64;
            return Err(back.div_euclid(1000));
        }
        match self.reserved.get(message) {
            Some((at, _)) if *at > now => return Err(*at),
            Some(_) => {
                self.reserved.remove(message);
                return Ok(());
            }
            None => {}
        }
        let of = inbox;
        let inbox = Lane::Inbox(of.clone());
        let chat = Lane::Chat(conversation.clone());
        let evenly = |usual: i64| pace.map_or(usual, |pace| 1_000_000 / pace.max(1));
        let lanes: Vec<(Lane, i64, i64)> = match channel {
            Channel::Whatsapp => vec![(inbox, evenly(1_000_000 / 80), BURST)],
            Channel::Telegram => {
                let each = if is_group { 3_000_000 } else { 1_000_000 };
                vec![(inbox, evenly(1_000_000 / 30), BURST), (chat, each, 0)]
            }
            // No number is known: what was told to wait, waits.
            Channel::Instagram | Channel::Livechat => vec![(inbox, evenly(0), 0)],
        };
        let now = now * 1000;
        let free = |lane: &Lane, burst: i64| {
            self.free_at
                .get(lane)
                .map_or(now, |at| (at - burst).max(now))
        };
        let slot = lanes
            .iter()
            .map(|(lane, _, burst)| free(lane, *burst))
            .max();
        let slot = slot.unwrap_or(now);
        for (lane, each, _) in lanes {
            // What waits for its chat takes a place of its inbox now, or others would wait for that chat.
            let from = match lane {
                Lane::Inbox(_) => now,
                Lane::Chat(_) | Lane::Busy(_) => slot,
            };
            let at = self.free_at.entry(lane).or_insert(from);
            *at = (*at).max(from) + each;
        }
        if slot <= now {
            return Ok(());
        }
        let at = slot.div_euclid(1000) + 1;
        self.reserved.insert(message.clone(), (at, of.clone()));
        Err(at)
    }

    /// Lets nothing of an inbox leave for a while, since its provider says that it sends too much: as many milliseconds as
    /// the provider says, and longer each time.
    pub(super) fn slow_down(&mut self, inbox: &InboxId, told: i64, now: i64) {
        let (times, until) = self.slowed.entry(inbox.clone()).or_default();
        if now >= *until {
            *times += 1;
            *until = now + backoff(2, *times);
        }
        // What was under way at the same time is refused, too, and says nothing more.
        *until = (*until).max(now + told);
        let until = *until;
        self.hold(inbox, until);
    }

    /// The provider takes messages of an inbox again.
    pub(super) fn went_through(&mut self, inbox: &InboxId, now: i64) {
        if self
            .slowed
            .get(inbox)
            .is_some_and(|(_, until)| now >= *until)
        {
            self.slowed.remove(inbox);
        }
    }

    /// Lets nothing of an inbox leave before this time, in milliseconds since 1970.
    fn hold(&mut self, inbox: &InboxId, until: i64) {
        let at = self.free_at.entry(Lane::Inbox(inbox.clone())).or_default();
        *at = (*at).max(until * 1000 + BURST);
        // What had a place before that asks for another.
        self.reserved.retain(|_, (_, of)| of != inbox);
    }

    /// A request of this inbox begins.
    pub(super) fn begin(&mut self, account: &AccountId, inbox: &InboxId) {
        *self.under_way.entry(inbox.clone()).or_default() += 1;
        let of_account = self.under_way_of_account.entry(account.clone());
        *of_account.or_default() += 1;
    }

    /// A request of this inbox has ended.
    pub fn end(&mut self, account: &AccountId, inbox: &InboxId) {
        one_less(&mut self.under_way, inbox);
        one_less(&mut self.under_way_of_account, account);
    }

    /// Forgets what does not matter any more.
    pub fn tidy(&mut self, now: i64) {
        self.free_at.retain(|_, at| *at > now * 1000);
        // Long past: the message was canceled, or another node has sent it.
        self.reserved.retain(|_, (at, _)| *at + 60_000 > now);
        self.slowed.retain(|_, (_, until)| *until + LONGEST > now);
    }
}

fn one_less<K: Eq + Hash>(under_way: &mut HashMap<K, usize>, of: &K) {
    if let Some(count) = under_way.get_mut(of) {
        *count -= 1;
        if *count == 0 {
            under_way.remove(of);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(
        traffic: &mut Traffic,
        channel: Channel,
        chat: &str,
        n: u32,
        now: i64,
    ) -> Result<(), i64> {
        let message = MessageId::from_text(format!("msg_{n}"));
        let account = AccountId::from_text("acc_1");
        let (inbox, chat) = (
            InboxId::from_text("inbox_1"),
            ConversationId::from_text(chat),
        );
        let which = (&account, &inbox, &chat, &message);
        traffic.admit(channel, false, None, which, now)
    }

    #[test]
    fn a_chat_gets_one_a_second_and_what_waits_keeps_its_place() {
        let mut traffic = Traffic::default();
        let mut ask = |chat, n, now| ask(&mut traffic, Channel::Telegram, chat, n, now);
        assert_eq!(ask("a", 1, 5000), Ok(()));
        assert_eq!(ask("a", 2, 5000), Err(6001));
        assert_eq!(ask("b", 3, 5000), Ok(()));
        assert_eq!(ask("a", 2, 5500), Err(6001));
        assert_eq!(ask("a", 2, 6001), Ok(()));
        assert_eq!(ask("a", 4, 6001), Err(7001));
    }

    #[test]
    fn a_number_gets_eighty_a_second() {
        let mut traffic = Traffic::default();
        let mut at_once = 0;
        let mut last = 0;
        for n in 0..800 {
            match ask(&mut traffic, Channel::Whatsapp, "a", n, 1000) {
                Ok(()) => at_once += 1,
                Err(at) => last = at,
            }
        }
        assert_eq!(at_once, 21);
        assert!((10_700..=10_800).contains(&last), "{last}");
    }

    #[test]
    fn an_account_whose_provider_hangs_leaves_places_to_others() {
        let mut traffic = Traffic::default();
        let mut admitted = 0;
        for (account, inbox) in (0..10).map(|n| (0, n)).chain([(1, 10)]) {
            let account = AccountId::from_text(format!("acc_{account}"));
            let inbox = InboxId::from_text(format!("inbox_{inbox}"));
            for n in 0..AT_ONCE {
                let chat = ConversationId::from_text(format!("conv_{inbox}_{n}"));
                let message = MessageId::from_text(format!("msg_{inbox}_{n}"));
                let which = (&account, &inbox, &chat, &message);
                if traffic
                    .admit(Channel::Instagram, false, None, which, 1000)
                    .is_ok()
                {
                    traffic.begin(&account, &inbox);
                    admitted += 1;
                }
            }
        }
        assert_eq!(admitted, AT_ONCE_OF_ACCOUNT + AT_ONCE);
    }

    #[test]
    fn nothing_leaves_while_an_inbox_is_held() {
        let mut traffic = Traffic::default();
        traffic.hold(&InboxId::from_text("inbox_1"), 9000);
        let at = ask(&mut traffic, Channel::Whatsapp, "a", 1, 1000);
        assert_eq!(at, Err(9001));
        traffic.tidy(10_000_000);
        assert!(traffic.free_at.is_empty() && traffic.reserved.is_empty());
    }

    #[test]
    fn an_inbox_that_sends_too_much_waits_longer_each_time_and_not_for_each_message() {
        let inbox = InboxId::from_text("inbox_1");
        let mut traffic = Traffic::default();
        let waits = |traffic: &mut Traffic, n, now: i64| {
            ask(traffic, Channel::Instagram, "a", n, now).map_err(|at| at - now)
        };
        (0..20).for_each(|_| traffic.slow_down(&inbox, 0, 1_000_000));
        let first = waits(&mut traffic, 1, 1_000_000).expect_err("it waits");
        assert!((1000..=1600).contains(&first), "{first}");
        traffic.slow_down(&inbox, 0, 1_010_000);
        let second = waits(&mut traffic, 2, 1_010_000).expect_err("it waits");
        assert!((2000..=2800).contains(&second), "{second}");
        traffic.slow_down(&inbox, 30_000, 1_010_001);
        let told = waits(&mut traffic, 3, 1_010_001).expect_err("it waits");
        assert!((30_000..=30_300).contains(&told), "{told}");
        traffic.went_through(&inbox, 1_010_002);
        assert!(!traffic.slowed.is_empty());
        traffic.went_through(&inbox, 1_050_000);
        assert!(traffic.slowed.is_empty());
    }

    #[test]
    fn a_place_of_before_an_inbox_is_held_does_not_count() {
        let mut traffic = Traffic::default();
        let ask = |traffic: &mut _, n, now| ask(traffic, Channel::Telegram, "a", n, now);
        assert_eq!(ask(&mut traffic, 1, 5000), Ok(()));
        assert_eq!(ask(&mut traffic, 2, 5000), Err(6001));
        traffic.hold(&InboxId::from_text("inbox_1"), 9000);
        assert_eq!(ask(&mut traffic, 2, 6001), Err(9001));
        assert_eq!(ask(&mut traffic, 2, 9001), Ok(()));
    }

    #[test]
    fn an_inbox_has_so_many_under_way_and_no_more() {
        let mut traffic = Traffic::default();
        let inbox = InboxId::from_text("inbox_1");
        let account = AccountId::from_text("acc_1");
        (0..AT_ONCE).for_each(|_| traffic.begin(&account, &inbox));
        assert_eq!(
            ask(&mut traffic, Channel::Instagram, "a", 1, 1000),
            Err(1200)
        );
        // Not all of them come again at once.
        let last = (2..=100).map(|n| ask(&mut traffic, Channel::Instagram, "a", n, 1000));
        assert_eq!(last.last(), Some(Err(1818)));
        traffic.end(&account, &inbox);
        assert_eq!(ask(&mut traffic, Channel::Instagram, "a", 1, 1000), Ok(()));
    }
}
