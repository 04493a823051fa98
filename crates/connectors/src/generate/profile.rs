//! How the events of a profile look.

use super::random::Random;

/// What the stream pretends to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Products looked at and bought; `amount` in cents.
    Shop,
    /// Files of a content delivery network; `amount` in bytes.
    Cdn,
    /// Destinations of network flows; `amount` in bytes.
    Flows,
    /// Hashtags of a social network; `amount` in views.
    Hashtags,
    /// Advertisements clicked; `amount` in tenths of a cent.
    Ads,
}

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 5] = [
        Profile::Shop,
        Profile::Cdn,
        Profile::Flows,
        Profile::Hashtags,
        Profile::Ads,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Shop => "shop",
            Profile::Cdn => "cdn",
            Profile::Flows => "flows",
            Profile::Hashtags => "hashtags",
            Profile::Ads => "ads",
        }
    }

    fn categories(self) -> &'static [&'static str] {
        match self {
            Profile::Shop => &[
                "shoes", "shirts", "books", "toys", "garden", "kitchen", "phones", "games",
            ],
            Profile::Cdn => &["image", "video", "script", "style", "font", "api"],
            Profile::Flows => &["tcp/443", "udp/443", "tcp/80", "udp/53", "tcp/22", "tcp/25"],
            Profile::Hashtags => &["sports", "music", "news", "film", "travel", "food", "science"],
            Profile::Ads => &["search", "social", "video", "banner", "mail"],
        }
    }

    fn regions(self) -> &'static [&'static str] {
        match self {
            Profile::Cdn => &["fra", "ams", "lhr", "iad", "sfo", "gru", "sin", "nrt"],
            Profile::Flows => &["as3320", "as3356", "as1299", "as2914", "as174", "as6939"],
            _ => &["eu", "us", "br", "in", "jp", "za"],
        }
    }

    /// Range of the amounts: most are near the lower end.
    fn amounts(self) -> (u64, u64) {
        match self {
            Profile::Shop => (99, 19_999),
            Profile::Cdn => (200, 2_000_000),
            Profile::Flows => (40, 150_000),
            Profile::Hashtags => (1, 5_000),
            Profile::Ads => (5, 2_000),
        }
    }
}

impl std::str::FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|profile| profile.name()).collect();
                format!("there is no profile '{name}'; there are {}", names.join(", "))
            })
    }
}

/// Writes events into one buffer.
pub(super) struct Writer {
    profile: Profile,
    categories: Option<u64>,
    out: Vec<u8>,
}

impl Writer {
    pub(super) fn new(profile: Profile, categories: Option<u64>) -> Self {
        Self {
            profile,
            categories,
            out: Vec::with_capacity(160),
        }
    }

    /// The event of an item at a time.
    pub(super) fn write(&mut self, ts: i64, item: u64, random: &mut Random) -> &[u8] {
        let (categories, regions) = (self.profile.categories(), self.profile.regions());
        // The category belongs to the item; mixing its number keeps the hot items from sharing one.
        let category = categories[(item.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize % categories.len()];
        let region = regions[random.below(regions.len() as u64) as usize];
        let (low, high) = self.profile.amounts();
        let share = random.share();
        let amount = low + ((high - low) as f64 * share * share * share) as u64;
        let user = random.below(200_000);

        self.out.clear();
        self.out.extend_from_slice(b"{\"ts\":");
        if ts < 0 {
            self.out.push(b'-');
        }
        self.number(ts.unsigned_abs(), 1);
        self.out.extend_from_slice(b",\"item\":\"");
        self.item(item);
        self.out.extend_from_slice(b"\",\"category\":\"");
        match self.categories {
            None => self.out.extend_from_slice(category.as_bytes()),
            Some(count) => {
                self.out.push(b'c');
                self.number(item % count, 5);
            }
        }
        self.out.extend_from_slice(b"\",\"region\":\"");
        self.out.extend_from_slice(region.as_bytes());
        self.out.extend_from_slice(b"\",\"user\":\"u");
        self.number(user, 6);
        self.out.extend_from_slice(b"\",\"amount\":");
        self.number(amount, 1);
        self.out.push(b'}');
        &self.out
    }

    fn item(&mut self, item: u64) {
        match self.profile {
            Profile::Shop => {
                self.out.extend_from_slice(b"sku-");
                self.number(item, 7);
            }
            Profile::Cdn => {
                self.out.extend_from_slice(b"/assets/");
                self.number(item, 7);
            }
            Profile::Flows => {
                self.out.extend_from_slice(b"10.");
                self.number((item >> 16) & 0xFF, 1);
                self.out.push(b'.');
                self.number((item >> 8) & 0xFF, 1);
                self.out.push(b'.');
                self.number(item & 0xFF, 1);
                // More items than 10.0.0.0/8 has addresses differ by their port.
                if item >> 24 > 0 {
                    self.out.push(b':');
                    self.number(item >> 24, 1);
                }
            }
            Profile::Hashtags => {
                self.out.extend_from_slice(b"#tag");
                self.number(item, 6);
            }
            Profile::Ads => {
                self.out.extend_from_slice(b"ad-");
                self.number(item, 7);
            }
        }
    }

    /// A number of at least `width` digits.
    fn number(&mut self, mut value: u64, width: usize) {
        let mut digits = [b'0'; 20];
        let mut begin = 20;
        while value > 0 {
            begin -= 1;
            digits[begin] = b'0' + (value % 10) as u8;
            value /= 10;
        }
        self.out.extend_from_slice(&digits[begin.min(20 - width)..]);
    }
}
