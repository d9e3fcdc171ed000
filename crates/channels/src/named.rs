//! Enums whose variants have names.
//!
//! Invariant: a variant has one name, the same in tables, URLs and JSON.

/// Declares an enum with a name for each variant.
#[macro_export]
macro_rules! named {
    (
        $(#[$about:meta])*
        $vis:vis enum $Name:ident {
            $($(#[$doc:meta])* $Variant:ident = $name:literal,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $Name {
            $($(#[$doc])* $Variant,)+
        }

        impl $Name {
            /// All variants, in this order.
            pub const ALL: [$Name; [$($name),+].len()] = [$($Name::$Variant),+];

            /// The name in tables, URLs and JSON.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($Name::$Variant => $name,)+
                }
            }
        }
    };
}
