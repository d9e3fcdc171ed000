//! What can be sent, and how much of it each channel takes.
//!
//! How it is written in a provider's request is not said here.
//!
//! Invariant: nothing is cut or split to fit. What does not fit is refused, with the field and its limit.

/// What a message to a contact says.
#[derive(Debug, Clone, PartialEq)]
pub enum Outgoing {
    /// A text.
    Text {
        /// What it says.
        text: String,
        /// Whether a link in it is shown with a preview. If absent, the channel decides.
        preview_url: Option<bool>,
    },
    /// A place.
    Location {
        /// Degrees north, -90 to 90.
        latitude: f64,
        /// Degrees east, -180 to 180.
        longitude: f64,
        /// What is there.
        name: Option<String>,
        /// Where that is, in words.
        address: Option<String>,
    },
}

/// How a channel measures a text.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Characters,
    Bytes,
    /// A character outside the first 65,536, as most emoji are, counts twice.
    Utf16Units,
}

/// Which locations a channel takes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Locations {
    None,
    Any,
    /// With a name and an address, or with neither.
    NamedWithAddress,
}

/// What a channel takes.
#[derive(Debug)]
pub struct Limits {
    channel: &'static str,
    text: usize,
    unit: Unit,
    locations: Locations,
}

/// <https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/text-messages>
pub const WHATSAPP: Limits = Limits {
    channel: "WhatsApp",
    text: 4096,
    unit: Unit::Characters,
    locations: Locations::Any,
};

/// <https://developers.facebook.com/docs/instagram-platform/instagram-api-with-instagram-login/messaging-api>
pub const INSTAGRAM: Limits = Limits {
    channel: "Instagram",
    text: 1000,
    unit: Unit::Bytes,
    locations: Locations::None,
};

/// <https://core.telegram.org/bots/api#sendmessage> and <https://core.telegram.org/bots/api#sendvenue>
pub const TELEGRAM: Limits = Limits {
    channel: "Telegram",
    text: 4096,
    unit: Unit::Utf16Units,
    locations: Locations::NamedWithAddress,
};

/// Our own.
pub const LIVECHAT: Limits = Limits {
    channel: "Live chat",
    text: 4096,
    unit: Unit::Characters,
    locations: Locations::None,
};

/// A field of a request to send, and what is wrong with it.
pub type Wrong = (&'static str, String);

impl Limits {
    /// Checks that the channel takes this message, as far as it can be said beforehand.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, by field.
    pub fn check(&self, outgoing: &Outgoing) -> Result<(), Vec<Wrong>> {
        let mut wrong = Vec::new();
        match outgoing {
            Outgoing::Text { text, .. } => wrong.extend(self.text(text)),
            Outgoing::Location { .. } if self.locations == Locations::None => {
                let channel = self.channel;
                wrong.push(("type", format!("{channel} takes no location")));
            }
            Outgoing::Location {
                latitude,
                longitude,
                name,
                address,
            } => {
                wrong.extend(degrees("content.latitude", *latitude, 90.0));
                wrong.extend(degrees("content.longitude", *longitude, 180.0));
                if self.locations == Locations::NamedWithAddress {
                    wrong.extend(self.pair(name.as_deref(), address.as_deref()));
                }
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn text(&self, text: &str) -> Option<Wrong> {
        let field = "content.text";
        if text.trim().is_empty() {
            return Some((field, "must not be empty".to_owned()));
        }
        let (length, unit) = match self.unit {
            Unit::Characters => (text.chars().count(), "characters"),
            Unit::Bytes => (text.len(), "bytes"),
            Unit::Utf16Units => (text.encode_utf16().count(), "UTF-16 units"),
        };
        let (channel, most) = (self.channel, self.text);
        (length > most).then(|| {
            let rule = format!("{channel} takes at most {most} {unit}, and this has {length}");
            (field, rule)
        })
    }

    fn pair(&self, name: Option<&str>, address: Option<&str>) -> Option<Wrong> {
        let is_there = |text: Option<&str>| text.is_some_and(|text| !text.trim().is_empty());
        let (missing, other) = match (is_there(name), is_there(address)) {
            (true, false) => ("content.address", "name"),
            (false, true) => ("content.name", "address"),
            _ => return None,
        };
        let channel = self.channel;
        Some((missing, format!("{channel} needs it beside the {other}")))
    }
}

fn degrees(field: &'static str, value: f64, most: f64) -> Option<Wrong> {
    let fits = (-most..=most).contains(&value);
    (!fits).then(|| (field, format!("must be from -{most} to {most}")))
}
