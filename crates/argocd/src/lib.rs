//! Argo CD: client, the one watch, the pure verdict, the pure touched().
