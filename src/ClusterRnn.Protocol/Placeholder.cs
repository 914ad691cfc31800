namespace ClusterRnn.Protocol;
