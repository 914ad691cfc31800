namespace ClusterRnn.Node;
