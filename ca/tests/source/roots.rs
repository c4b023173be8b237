//! Roots that change while a workload sleeps.
