//! The query service: answers over REST.
