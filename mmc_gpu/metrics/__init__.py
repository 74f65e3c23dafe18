"""x."""
from mmc_gpu.metrics.contribution import correlation_contribution, neutral_contribution
from mmc_gpu.metrics.correlation import numerai_corr, spearman_correlation, tie_broken_rank_correlation
from mmc_gpu.metrics.exposure import correlation, feature_exposures, max_feature_correlation, pearson_correlation
from mmc_gpu.metrics.neutral import feature_neutral_corr, neutral_correlation, neutralize
