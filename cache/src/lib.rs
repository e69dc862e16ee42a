//! A content-addressed store of build actions and their outcomes.
